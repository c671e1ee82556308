"""Who reaches a Service by which of its addresses, and whom the endpoint sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.cluster import Cluster, Proxied

Target = Callable[[Proxied, Cluster, Family, Protocol], tuple[str, int]]
TARGETS: dict[str, Target] = {
    "the cluster IP": lambda served, _, of, __: (served.cluster_ip(of), 80),
    "n1's node port": lambda served, all_, of, protocol: (
        str(all_.nodes["n1"].addresses[of]),
        served.node_port(protocol),
    ),
    "an external IP": lambda served, _, of, __: (served.external_ip(of), 80),
    "a load balancer IP": lambda served, _, of, __: (served.load_balancer_ip(of), 80),
}
EVERY = tuple(Protocol)


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Proxied:
    return cluster.serve([pod.name for pod in cluster.endpoints], EVERY)


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("of", Family)
@pytest.mark.parametrize("target", TARGETS)
def test_every_endpoint_answers_everybody(
    cluster: Cluster, served: Proxied, target: str, of: Family, protocol: Protocol
) -> None:
    """Pods are seen as they are unless they come by another node, and the client is by pods of the node it came by."""
    address, port = TARGETS[target](served, cluster, of, protocol)
    names = {pod.name for pod in cluster.endpoints}
    for name, place in cluster.everybody.items():
        if target == "the cluster IP" and name == "client":
            continue
        answers = [place.ask(address, port, protocol) for _ in range(len(names))]
        assert {each.name for each in answers} == names, name
        through_n1 = target == "n1's node port" and name != "n1-c"
        for each in answers:
            if name.endswith("-c") and not through_n1:
                assert each.peer == place.addresses[of]
            elif name == "client":
                here = each.name.startswith("n1")
                assert each.peer == (place if here else cluster.nodes["n1"]).addresses[of]
