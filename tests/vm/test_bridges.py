"""Services whose client and endpoint are on one bridge of a node that has br_netfilter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.services.apply import ServiceBackend
from birdctl.services.model import Port, Protocol, RealServer, Scheduler, ServiceState, VirtualServer
from birdctl.services.options import ServiceOptions
from tests.polling import eventually
from tests.vm.world import PORT, Node, Pod, World

OPTIONS = ServiceOptions()
VIPS = {Family.IPV4: ip_address("10.96.0.80"), Family.IPV6: ip_address("fd00:96::80")}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(nodes=1, pods=2) as world:
        yield world


def serve(world: World, of: Family, endpoint: Pod) -> None:
    """The VIP, with one endpoint, which may reach itself through it."""
    node = world.nodes["n1"]
    port = Port(address=VIPS[of], protocol=Protocol.TCP, port=80)
    address = endpoint.addresses[of]
    state = ServiceState(
        virtual_servers={
            port: VirtualServer(
                key=port, scheduler=Scheduler.RR, real_servers=(RealServer(address=address, port=PORT),)
            )
        },
        addresses=frozenset({VIPS[of]}),
        vip_ports=frozenset({port}),
        hairpin=frozenset({Port(address=address, protocol=Protocol.TCP, port=PORT)}),
        pods=frozenset(node.pod_cidrs.values()),
        local_pods=frozenset(node.pod_cidrs.values()),
        sources=node.addresses,
        node_addresses=frozenset(node.addresses.values()),
    )
    eventually(lambda: refusals(node, state) == ())


def refusals(node: Node, state: ServiceState) -> tuple[object, ...]:
    """What is not as `state` says. A bridge has no link-local address, and finds no pod, in its first two seconds."""
    with node.namespace.inside(), closing(ServiceBackend(OPTIONS)) as backend:
        result = backend.apply(state, grace={})
    return (*result.refusals, *result.deviations)


@pytest.mark.parametrize("of", Family)
def test_a_pod_reaches_itself_through_its_service(world: World, of: Family) -> None:
    pod = world.pods["n1-a"]
    serve(world, of, pod)
    answer = pod.ask(VIPS[of], 80)
    assert (answer.name, answer.peer) == ("n1-a", world.nodes["n1"].gateways[of])


@pytest.mark.parametrize("of", Family)
def test_a_pod_reaches_its_neighbour_on_the_bridge_through_a_service(world: World, of: Family) -> None:
    client, endpoint = world.pods["n1-a"], world.pods["n1-b"]
    world.nodes["n1"].namespace.run(
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"
    )
    serve(world, of, endpoint)
    answer = client.ask(VIPS[of], 80)
    assert (answer.name, answer.peer) == ("n1-b", client.addresses[of])
