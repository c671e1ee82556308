"""A Service as two nodes' agents proxy it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.agents import Manifests, converged
from tests.vm.objects import CLUSTER_IPS, endpoints, service
from tests.vm.world import PORT, World

EVERY = tuple(Protocol)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    manifests = Manifests(folder / "manifests")
    with World(nodes=2, pods=2) as world, ExitStack() as stack:
        for pod in world.pods.values():
            world.servers.listen(pod.namespace, pod.name, PORT, Protocol.SCTP)
        manifests.write(*(node.document() for node in world.nodes.values()))
        manifests.write(service("web", EVERY), *endpoints("web", world.pods.values(), EVERY))
        agents = [node.agent(folder, manifests) for node in world.nodes.values()]
        for agent in agents:
            stack.callback(agent.close)
            agent.start_agent("--run-router=false")
        converged(*agents, timeout=60)
        yield world


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("of", Family)
def test_nodes_and_pods_reach_every_other_pod_by_the_cluster_ip(world: World, of: Family, protocol: Protocol) -> None:
    """Hairpin mode is off: a pod that is chosen for its own connection does not hear from itself."""
    for place in (*world.nodes.values(), *world.pods.values()):
        answered = place.count(CLUSTER_IPS[of], 80, protocol, times=4, timeout=2)
        assert answered == Counter("TimeoutError" if name == place.name else name for name in world.pods)


@pytest.mark.parametrize("of", Family)
def test_a_pod_sees_the_pod_that_calls(world: World, of: Family) -> None:
    caller = world.pods["n1-a"]
    answers = [caller.ask(CLUSTER_IPS[of], 80, Protocol.UDP) for _ in range(3)]
    assert {each.peer for each in answers} == {caller.addresses[of]}
