"""What becomes of packets to a node's service addresses: its own servers stand for what IPVS would serve."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from birdctl.services.model import DirectReturn, Port, Protocol, ServiceState
from birdctl.services.netfilter import ServiceNetfilter
from birdctl.services.options import ServiceOptions
from birdctl.services.rules import RuleCompiler
from tests.netns.services.test_netfilter import without_ipvs
from tests.vm.world import PORT, World

VIP = {Family.IPV4: ip_address("203.0.113.1"), Family.IPV6: ip_address("2001:db8:96::1")}
MARKED = {Family.IPV4: ip_address("203.0.113.2"), Family.IPV6: ip_address("2001:db8:96::2")}
"""A pod's; only what is marked gets there."""
IN_POD = {Family.IPV4: ip_address("203.0.113.3"), Family.IPV6: ip_address("2001:db8:96::3")}
"""A pod's, which everything gets to."""
SERVED, INSIDE, OTHER = 80, 81, 82
MARK = 0x0D000001
BOTH = pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])


@pytest.fixture(scope="module")
def world():
    with World(nodes=1, pods=1) as world:
        node, pod = world.nodes["n1"], world.pods["n1-a"]
        for of, option in ((Family.IPV4, ""), (Family.IPV6, "-6")):
            for address in (VIP[of], MARKED[of], IN_POD[of]):
                world.router.namespace.run(f"ip route add {address} via {node.addresses[of]}")
            node.namespace.run(f"ip address add {VIP[of]} dev lo")
            node.namespace.run(f"ip {option} rule add fwmark {MARK} lookup 100")
            node.namespace.run(f"ip {option} route add default via {pod.addresses[of]} table 100")
            node.namespace.run(f"ip route add {IN_POD[of]} via {pod.addresses[of]}")
            for address in (MARKED[of], IN_POD[of]):
                pod.namespace.run(f"ip address add {address} dev lo")
        for port in (SERVED, INSIDE, OTHER):
            for protocol in (Protocol.TCP, Protocol.UDP):
                world.servers.listen(node.namespace, "node", port, protocol)
        yield world


@pytest.fixture(params=list(Mode))
def backend(request, world):
    with world.nodes["n1"].namespace.inside():
        backend = ServiceNetfilter(request.param)
        with closing(backend):
            yield backend
            backend.remove()


@pytest.fixture(params=list(Family))
def of(request):
    return request.param


def ports(addresses, number):
    return {
        Port(address=address, protocol=protocol, port=number)
        for address in addresses.values()
        for protocol in (Protocol.TCP, Protocol.UDP)
    }


@pytest.fixture
def programmed(backend, world):
    """Writes the rules that such options give."""
    node = world.nodes["n1"]
    state = ServiceState(
        virtual_servers={},
        addresses=frozenset(VIP.values()),
        vip_ports=frozenset(ports(VIP, SERVED) | ports(VIP, INSIDE)),
        inside_only=frozenset(ports(VIP, INSIDE)),
        direct_returns=tuple(
            DirectReturn(port=port, mark=MARK, local_pods=frozenset())
            for port in sorted(ports(MARKED, PORT) | ports(IN_POD, PORT), key=str)
        ),
        pods=frozenset(node.pod_cidrs.values()),
        local_pods=frozenset(node.pod_cidrs.values()),
        sources=node.addresses,
        node_addresses=frozenset((*node.addresses.values(), *node.gateways.values())),
    )

    def program(**how):
        wanted = replace(state, **how.pop("state", {}))
        assert backend.apply(without_ipvs(RuleCompiler(ServiceOptions(**how)).compile(wanted))) == {}
        backend.settle()

    return program


@BOTH
def test_an_address_answers_on_its_ports_and_refuses_all_others(world, programmed, of, protocol):
    programmed()
    assert world.client.ask(VIP[of], SERVED, protocol).name == "node"
    with pytest.raises(ConnectionRefusedError):
        world.client.ask(VIP[of], OTHER, protocol)
    assert world.client.ask(world.nodes["n1"].addresses[of], OTHER, protocol).name == "node"


@BOTH
def test_an_address_that_is_the_nodes_own_too_is_not_closed(world, programmed, of, protocol):
    programmed(state={"addresses": frozenset(world.nodes["n1"].addresses.values())})
    assert world.client.ask(world.nodes["n1"].addresses[of], OTHER, protocol).name == "node"


def test_an_address_answers_echo_requests(world, programmed, of):
    programmed()
    world.client.namespace.run(f"ping -n -c 1 -W 3 {VIP[of]}")


@BOTH
def test_what_only_the_cluster_may_use_is_dropped_for_all_others(world, programmed, of, protocol):
    programmed()
    with pytest.raises(TimeoutError):
        world.client.ask(VIP[of], INSIDE, protocol, timeout=0.3)
    assert world.pods["n1-a"].ask(VIP[of], INSIDE, protocol).name == "node"


@BOTH
def test_without_permit_all_every_port_is_left_to_others_rules(world, programmed, of, protocol):
    programmed(ipvs_permit_all=False)
    assert world.client.ask(VIP[of], OTHER, protocol).name == "node"
    with pytest.raises(TimeoutError):
        world.client.ask(VIP[of], INSIDE, protocol, timeout=0.3)


@pytest.mark.parametrize("options", [{}, {"ipvs_permit_all": False}], ids=str)
def test_connections_to_a_port_that_no_endpoint_serves_are_reset_at_the_nodes_own_addresses_too(
    world, programmed, of, options
):
    own = world.nodes["n1"].addresses
    programmed(state={"unserved": frozenset(ports(VIP, SERVED) | ports(own, SERVED))}, **options)
    for address in (VIP[of], own[of]):
        with pytest.raises(ConnectionRefusedError):
            world.client.ask(address, SERVED)
    assert world.client.ask(own[of], OTHER).name == "node"


def test_an_established_connection_outlives_the_last_endpoint_of_its_port(world, programmed, of):
    programmed()
    with world.client.connect(VIP[of], SERVED) as connection:
        assert connection.ask().name == "node"
        programmed(state={"unserved": frozenset(ports(VIP, SERVED))})
        assert connection.ask().name == "node"
    with pytest.raises(ConnectionRefusedError):
        world.client.ask(VIP[of], SERVED)


@BOTH
def test_a_port_with_direct_return_is_marked(world, programmed, of, protocol):
    programmed()
    assert world.client.ask(MARKED[of], PORT, protocol).name == "n1-a"
    programmed(state={"direct_returns": ()})
    with pytest.raises(OSError, match=r"timed out|No route|unreachable"):
        world.client.ask(MARKED[of], PORT, protocol, timeout=0.3)


def test_a_pod_that_answers_itself_tells_of_segments_that_fit_the_tunnel(world, programmed, of):
    programmed(state={"direct_returns": ()})
    whole = segment(world.client, IN_POD[of])
    programmed()
    assert whole - segment(world.client, IN_POD[of]) == {Family.IPV4: 20, Family.IPV6: 40}[of]


def segment(place, address):
    """Bytes that a client sends in one piece."""
    with place.connect(address, PORT, source=("::" if address.version == 6 else "", 0)) as connection:
        return connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
