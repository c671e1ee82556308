"""Kernel and world as the tests of the service proxy take them for granted; virtual servers are ipvsadm's here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.sockets import Answer
from tests.vm.world import PORT, Node, World

VIPS = {Family.IPV4: ip_address("203.0.113.1"), Family.IPV6: ip_address("2001:db8:f::1")}
SERVED = {Protocol.TCP: "-t", Protocol.UDP: "-u", Protocol.SCTP: "--sctp-service"}


@pytest.fixture
def world() -> Iterator[World]:
    with World(nodes=2, pods=2) as world:
        for pod in world.pods.values():
            world.servers.listen(pod.namespace, pod.name, PORT, Protocol.SCTP)
        yield world


def balance(world: World, node: Node, protocol: Protocol, of: Family, scheduler: str) -> None:
    """The VIP at this node, port 80, to all pods; the node is the client that pods see."""
    device, iptables = f"vip{of.digit}", "iptables-legacy" if of is Family.IPV4 else "ip6tables-legacy"
    server = f"{SERVED[protocol]} {_with_port(VIPS[of], 80)}"
    for command in (
        f"ip link add {device} type dummy",
        f"ip link set {device} up",
        f"ip address add {VIPS[of]} dev {device}",
        "sysctl -qw net.ipv4.vs.conntrack=1",
        f"{iptables} -t nat -A POSTROUTING -m ipvs --ipvs --vdir ORIGINAL --vmethod MASQ -j MASQUERADE",
        f"ipvsadm -A {server} -s {scheduler}",
        *(f"ipvsadm -a {server} -r {_with_port(pod.addresses[of], PORT)} -m" for pod in world.pods.values()),
    ):
        node.namespace.run(command)


def _with_port(address: object, port: int) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def lead(world: World, of: Family, node: Node) -> None:
    """Packets to the VIP go by this node."""
    world.router.namespace.run(f"ip route replace {VIPS[of]} via {node.addresses[of]}")


def from_many_ports(world: World, of: Family, protocol: Protocol) -> list[Answer]:
    """Of the VIP to the client, by 16 ports of it."""
    return [world.client.ask(VIPS[of], 80, protocol, source=("", 40_000 + number)) for number in range(16)]


def test_everybody_reaches_every_pod(world: World) -> None:
    for place in (world.client, *world.nodes.values(), *world.pods.values()):
        for pod in world.pods.values():
            for of in Family:
                for protocol in Protocol:
                    answer = place.ask(pod.addresses[of], PORT, protocol)
                    assert answer.name == pod.name
                    if place.name != pod.node:  # to its own pods a node speaks from their bridge
                        assert answer.peer == place.addresses[of]


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("of", Family)
def test_ipvs_shares_connections_out_to_the_pods_of_all_nodes(world: World, of: Family, protocol: Protocol) -> None:
    node = world.nodes["n1"]
    balance(world, node, protocol, of, "rr")
    lead(world, of, node)
    answers = from_many_ports(world, of, protocol)
    assert Counter(each.name for each in answers) == dict.fromkeys(world.pods, 4)
    assert {each.peer for each in answers} == {node.addresses[of], node.gateways[of]}


def test_each_node_has_virtual_servers_of_its_own(world: World) -> None:
    one, other = world.nodes.values()
    balance(world, one, Protocol.TCP, Family.IPV4, "rr")
    assert str(VIPS[Family.IPV4]) in one.namespace.run("ipvsadm -Ln")
    assert str(VIPS[Family.IPV4]) not in other.namespace.run("ipvsadm -Ln")
    assert other.namespace.run("sysctl -n net.ipv4.vs.conntrack") == "0\n"


def test_maglev_hashing_chooses_the_same_pods_on_every_node(world: World) -> None:
    def chosen(node: Node) -> list[str]:
        lead(world, Family.IPV4, node)
        return [each.name for each in from_many_ports(world, Family.IPV4, Protocol.UDP)]

    for node in world.nodes.values():
        balance(world, node, Protocol.UDP, Family.IPV4, "mh -b mh-port")
    one, other = (chosen(node) for node in world.nodes.values())
    assert one == other
    assert len(set(one)) > 1


def test_a_pod_may_come_and_go(world: World) -> None:
    pod = world.add_pod("n2-z")
    assert world.client.ask(pod.addresses[Family.IPV4], PORT).name == "n2-z"
    world.remove_pod("n2-z")
    with pytest.raises(OSError, match=r"timed out|No route"):
        world.client.ask(pod.addresses[Family.IPV4], PORT, timeout=0.5)
