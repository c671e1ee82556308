"""Direct server return, with packets: clients reach the pods through a node's IPVS, and hear from them directly."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.services.direct import PRIORITY, TABLE, DirectReturns
from birdctl.services.model import Scheduler
from birdctl.services.tunnel_ends import DEVICES
from tests.bird.daemon import Namespace
from tests.vm.direct_network import IPTABLES, VIPS, Network, Node

BULK = 300_000
"""Bytes: many full packets."""


@pytest.fixture(scope="module")
def _network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def network(_network: Network) -> Network:
    """As it was in the beginning."""
    _network.reset()
    return _network


HERE_AND_THERE = pytest.mark.parametrize("where", [0, 1], ids=["a pod of this node", "a pod of another node"])


def serving(network: Network, of: Family, where: int) -> Node:
    """The node whose pod answers; the first one balances."""
    node = network.nodes[where]
    network.nodes[0].serve(of, node)
    node.serve(of, node)
    return node


@pytest.mark.parametrize("of", Family)
@HERE_AND_THERE
def test_a_client_talks_to_the_vip_and_hears_from_it(network: Network, of: Family, where: int) -> None:
    node = serving(network, of, where)
    assert network.ask(of) == node.name
    assert network.ask(of, BULK) == node.name


@pytest.mark.parametrize("of", Family)
def test_answers_do_not_come_back_to_the_node_that_balances(network: Network, of: Family) -> None:
    other = serving(network, of, 1)
    network.nodes[0].namespace.run(f"{IPTABLES[of]} -A FORWARD -s {VIPS[of]} -j DROP")
    assert network.ask(of, BULK) == other.name


FORWARDED = {Family.IPV4: "IpForwDatagrams", Family.IPV6: "Ip6OutForwDatagrams"}
TOO_BIG = {Family.IPV4: "IcmpOutDestUnreachs", Family.IPV6: "Icmp6OutPktTooBigs"}


def counted(namespace: Namespace, name: str) -> int:
    """What the kernel has counted there so far: nstat(8)."""
    return int(namespace.run(f"nstat -asz {name}").split()[-2])


@pytest.mark.parametrize("of", Family)
def test_what_the_vip_does_not_serve_is_refused_at_once_and_not_sent_around(network: Network, of: Family) -> None:
    """The VIP is not the node's, whose way to it leads back to the router."""
    gateway, other = network.nodes[0], serving(network, of, 1)
    before = counted(network.router, FORWARDED[of])
    for place in (network.client, gateway.namespace, gateway.pod):
        with place.inside(), pytest.raises(ConnectionRefusedError):
            socket.create_connection((str(VIPS[of]), 81), 5)
        with place.inside():
            subprocess.run(["ping", "-c", "2", "-W", "1", str(VIPS[of])], capture_output=True, check=False)
    assert counted(network.router, FORWARDED[of]) - before < 20
    assert network.ask(of, BULK) == other.name


@pytest.mark.parametrize("of", Family)
@HERE_AND_THERE
def test_a_pod_is_told_that_its_packets_are_too_big(network: Network, of: Family, where: int) -> None:
    """By the router, which answers the VIP. What the client sends is as big as ever."""
    node = serving(network, of, where)
    narrow = f"{network.client_address[of]} dev client mtu lock 1300"
    before = counted(network.router, TOO_BIG[of])
    network.router.run(f"ip route add {narrow}")
    try:
        assert network.ask(of, BULK) == node.name
    finally:
        network.router.run(f"ip route del {narrow}")
    assert counted(network.router, TOO_BIG[of]) > before


@pytest.mark.parametrize("of", Family)
def test_a_pod_keeps_talking_when_its_connection_comes_through_another_node(network: Network, of: Family) -> None:
    for each in network.nodes:
        each.serve(of, *network.nodes, scheduler=Scheduler.MH)
    with ExitStack() as stack:
        talks = [stack.enter_context(closing(network.connect(of))) for _ in range(8)]
        before = [talk.ask() for talk in talks]
        assert set(before) == {"pod1", "pod2"}
        network.direct_to(network.nodes[1])
        assert [talk.ask(BULK) for talk in talks] == before


def shown(namespace: Namespace) -> str:
    """What of ours is in there."""
    commands = (
        "ip -o link",
        "ip -o address",
        "ip rule",
        "ip -6 rule",
        "ip route show table all",
        "ip -6 route show table all",
    )
    lines = [line for command in commands for line in namespace.run(command).splitlines()]
    return "\n".join(line for line in lines if "birdctl" in line or f"{TABLE}" in line.split())


def test_applying_again_changes_nothing_and_a_second_agent_finds_the_same(network: Network) -> None:
    node = network.nodes[0]
    node.apply(*Family)
    before = [shown(node.namespace), shown(node.pod)]
    assert all(before)
    node.apply(*Family, verify=True)
    with node.namespace.inside():
        fresh = DirectReturns()
        node.direct, old = fresh, node.direct
    assert node.apply(*Family) == {}
    assert [shown(node.namespace), shown(node.pod)] == before
    node.direct = old
    fresh.close()


def test_a_service_that_ends_direct_return_leaves_node_and_pod_as_they_were(network: Network) -> None:
    node = network.nodes[0]
    node.apply(*Family)
    node.apply(Family.IPV6)
    assert DEVICES[Family.IPV4] not in shown(node.pod)
    assert DEVICES[Family.IPV6] in shown(node.pod)
    node.apply()
    assert shown(node.namespace) == shown(node.pod) == ""


def test_what_an_agent_left_behind_goes_with_the_next_one(network: Network) -> None:
    node = network.nodes[0]
    node.apply(*Family)
    with node.namespace.inside():
        fresh = DirectReturns()
        assert fresh.apply(()) == {}
        fresh.close()
    assert shown(node.namespace) == shown(node.pod) == ""


def test_the_pods_of_another_node_on_the_same_machine_are_its_own_business(network: Network) -> None:
    node, other = network.nodes
    node.apply(*Family)
    other.apply(*Family)
    node.apply()
    assert DEVICES[Family.IPV4] in shown(other.pod)


def test_vips_of_a_pod_come_and_go_one_by_one(network: Network) -> None:
    node = network.nodes[0]
    pod = node.pod_address[Family.IPV4]
    second = ip_address("203.0.113.81")
    node.returning({VIPS[Family.IPV4]: {pod}, second: {pod}})
    assert f"{second}/32" in shown(node.pod)
    node.returning({second: {pod}})
    assert f"{second}/32" in shown(node.pod)
    assert str(VIPS[Family.IPV4]) not in shown(node.pod)


def test_what_somebody_took_away_is_mended_when_it_is_verified(network: Network) -> None:
    node = network.nodes[0]
    node.apply(Family.IPV4)
    node.pod.run(f"ip address flush dev {DEVICES[Family.IPV4]}")
    node.namespace.run(f"ip rule delete priority {PRIORITY}")
    assert node.apply(Family.IPV4, verify=True) == {}
    assert str(VIPS[Family.IPV4]) in shown(node.pod)
    assert str(PRIORITY) in shown(node.namespace)


def test_a_pod_that_is_not_found_is_named_and_the_others_are_set_up(network: Network) -> None:
    node = network.nodes[0]
    missing = ip_address("10.244.1.99")
    refused = node.returning({VIPS[Family.IPV4]: {missing, node.pod_address[Family.IPV4]}})
    assert list(refused) == [missing]
    assert "network namespace is not found" in refused[missing]
    assert DEVICES[Family.IPV4] in shown(node.pod)


def test_a_pod_never_tells_its_neighbours_that_it_has_the_vip(network: Network) -> None:
    node = network.nodes[0]
    node.apply(Family.IPV4)
    vip = VIPS[Family.IPV4]
    node.namespace.run(f"ip route add {vip} dev pod")
    with pytest.raises(AssertionError):
        node.namespace.run(f"ping -c 1 -W 1 {vip}")
    assert "lladdr" not in node.namespace.run(f"ip neigh show {vip} dev pod")
    node.namespace.run(f"ip route delete {vip} dev pod")


def test_a_strict_reverse_path_filter_in_the_pod_lets_clients_through(network: Network) -> None:
    gateway = network.nodes[0]
    gateway.pod.run("sysctl -qw net.ipv4.conf.all.rp_filter=1")
    gateway.serve(Family.IPV4, gateway)
    assert network.ask(Family.IPV4) == gateway.name
    gateway.pod.run("sysctl -qw net.ipv4.conf.all.rp_filter=0")
