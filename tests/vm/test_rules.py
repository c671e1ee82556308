"""Whose address an endpoint sees, with the real rules around real virtual servers."""

from __future__ import annotations

from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.services.hairpin import HairpinPorts
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import changes
from birdctl.services.model import Port, Protocol, RealServer, Scheduler, ServiceState, VirtualServer
from birdctl.services.netfilter import ServiceNetfilter
from birdctl.services.options import ServiceOptions
from birdctl.services.rules import RuleCompiler
from tests.polling import eventually
from tests.vm.world import PORT, World

VIP = {Family.IPV4: ip_address("203.0.113.1"), Family.IPV6: ip_address("2001:db8:96::1")}
ENDPOINTS = {80: "n1-a", 81: "n2-a"}
"""Which port of the VIP leads where."""
OTHER = 82


@pytest.fixture(scope="module")
def world():
    """On its first node, IPVS serves both ports, as the cluster's pods and everybody outside may use it."""
    with World(nodes=2, pods=2) as world, ExitStack() as stack:
        node = world.nodes["n1"]
        for of in Family:
            world.router.namespace.run(f"ip route add {VIP[of]} via {node.addresses[of]}")
            source = node.addresses[of]
            node.namespace.run(f"ip route add local {VIP[of]} dev lo src {source}")
        node.namespace.run("sysctl -qw net.ipv4.vs.conntrack=1")
        with node.namespace.inside():
            backend, ports = IpvsBackend(()), HairpinPorts()
            stack.callback(backend.close)
            stack.callback(ports.close)
            pods = [each for each in world.pods.values() if each.node == "n1"]
            addresses = [address for each in pods for address in each.addresses.values()]
            eventually(lambda: not ports.apply(addresses))
        assert backend.write(changes({}, {each.key: each for each in servers(world)})) == {}
        yield world


def servers(world):
    for port, name in ENDPOINTS.items():
        for of, vip in VIP.items():
            for protocol in (Protocol.TCP, Protocol.UDP):
                real = RealServer(address=world.pods[name].addresses[of], port=PORT)
                key = Port(address=vip, protocol=protocol, port=port)
                yield VirtualServer(key=key, scheduler=Scheduler.RR, real_servers=(real,))


@pytest.fixture(scope="module")
def netfilter(world):
    with world.nodes["n1"].namespace.inside():
        backend = ServiceNetfilter()
    yield backend
    backend.close()


@pytest.fixture
def programmed(world, netfilter):
    """Writes the rules that such options give."""
    node = world.nodes["n1"]
    local = [each for each in world.pods.values() if each.node == "n1"]
    state = ServiceState(
        virtual_servers={},
        addresses=frozenset(VIP.values()),
        vip_ports=frozenset(each.key for each in servers(world)),
        hairpin=frozenset(
            Port(address=address, protocol=protocol, port=PORT)
            for pod in local
            for address in pod.addresses.values()
            for protocol in (Protocol.TCP, Protocol.UDP)
        ),
        pods=frozenset(cidr for each in world.nodes.values() for cidr in each.pod_cidrs.values()),
        local_pods=frozenset(node.pod_cidrs.values()),
        sources=node.addresses,
        node_addresses=frozenset((*node.addresses.values(), *node.gateways.values())),
    )

    def program(state=state, **options):
        with node.namespace.inside():
            assert netfilter.apply(RuleCompiler(ServiceOptions(**options)).compile(state), verify=True) == {}
            netfilter.settle()
        return state

    yield program
    with node.namespace.inside():
        netfilter.remove()


CASES = pytest.mark.parametrize(
    ("of", "protocol"), [(of, each) for of in Family for each in (Protocol.TCP, Protocol.UDP)]
)


def seen(place, of, protocol, port):
    """Who answers, and whom it saw."""
    answer = place.ask(VIP[of], port, protocol)
    return answer.name, answer.peer


@CASES
def test_a_pod_of_this_node_sees_the_client_from_outside(world, programmed, of, protocol):
    programmed()
    assert seen(world.client, of, protocol, 80) == ("n1-a", world.client.addresses[of])


@CASES
def test_a_pod_elsewhere_sees_this_node_as_only_it_can_answer_the_client(world, programmed, of, protocol):
    programmed()
    assert seen(world.client, of, protocol, 81) == ("n2-a", world.nodes["n1"].addresses[of])


@CASES
@pytest.mark.parametrize("port", ENDPOINTS)
def test_every_pod_sees_the_pod_of_this_node_that_asks(world, programmed, of, protocol, port):
    programmed()
    asking = world.pods["n1-b"]
    assert seen(asking, of, protocol, port) == (ENDPOINTS[port], asking.addresses[of])


@CASES
def test_a_pod_elsewhere_is_answered_through_this_node_by_its_own_neighbour(world, programmed, of, protocol):
    """Its neighbour would answer it directly, from an address that it did not ask."""
    programmed()
    assert seen(world.pods["n2-b"], of, protocol, 81) == ("n2-a", world.nodes["n1"].addresses[of])
    assert seen(world.pods["n2-b"], of, protocol, 80) == ("n1-a", world.pods["n2-b"].addresses[of])


@CASES
def test_a_pod_that_asks_itself_sees_its_node(world, programmed, of, protocol):
    programmed()
    assert seen(world.pods["n1-a"], of, protocol, 80) == ("n1-a", world.nodes["n1"].gateways[of])


@CASES
def test_a_pod_that_may_not_ask_itself_gets_no_answer(world, programmed, of, protocol):
    programmed(replace(programmed(), hairpin=frozenset()))
    with pytest.raises(TimeoutError):
        world.pods["n1-a"].ask(VIP[of], 80, protocol, timeout=1)


@CASES
@pytest.mark.parametrize("port", ENDPOINTS)
def test_the_node_itself_is_answered(world, programmed, of, protocol, port):
    programmed()
    name, peer = seen(world.nodes["n1"], of, protocol, port)
    assert (name, peer in {*world.nodes["n1"].addresses.values(), *world.nodes["n1"].gateways.values()}) == (
        ENDPOINTS[port],
        True,
    )


@CASES
def test_with_masquerade_all_every_pod_sees_the_node(world, programmed, of, protocol):
    programmed(masquerade_all=True)
    node = world.nodes["n1"]
    assert seen(world.pods["n1-b"], of, protocol, 81) == ("n2-a", node.addresses[of])
    assert seen(world.client, of, protocol, 80) == ("n1-a", node.gateways[of])


@CASES
def test_without_the_rules_only_pods_here_can_answer_from_outside(world, programmed, netfilter, of, protocol):
    programmed()
    with world.nodes["n1"].namespace.inside():
        netfilter.remove()
    assert seen(world.client, of, protocol, 80)[0] == "n1-a"
    with pytest.raises(OSError, match=r"timed out|reset|refused"):
        world.client.ask(VIP[of], 81, protocol, timeout=1)


@CASES
def test_the_address_refuses_what_is_no_port_of_a_service(world, programmed, of, protocol):
    programmed()
    for place in (world.client, world.pods["n1-b"], world.pods["n2-b"]):
        with pytest.raises(ConnectionRefusedError):
            place.ask(VIP[of], OTHER, protocol)


@CASES
def test_what_only_the_cluster_may_use_serves_pods_and_this_node_alone(world, programmed, of, protocol):
    inside_only = frozenset(Port(address=vip, protocol=protocol, port=80) for vip in VIP.values())
    programmed(replace(programmed(), inside_only=inside_only))
    for place in (world.pods["n1-b"], world.pods["n2-b"], world.nodes["n1"]):
        assert place.ask(VIP[of], 80, protocol).name == "n1-a"
    with pytest.raises(TimeoutError):
        world.client.ask(VIP[of], 80, protocol, timeout=1)
    assert world.client.ask(VIP[of], 81, protocol).name == "n2-a"
