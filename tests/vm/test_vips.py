"""The device that VIPs are on: what is sent to them arrives, and no VIP is ever a source."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from birdctl.addresses import Address, Family
from birdctl.services.links import DEVICE, VipDevice
from tests.bird.daemon import Namespace

NODE4, NODE6 = ip_address("198.18.5.1"), ip_address("2001:db8:5::1")
CLIENT4, CLIENT6 = ip_address("198.18.5.2"), ip_address("2001:db8:5::2")
VIP4, VIP6 = ip_address("198.18.96.1"), ip_address("2001:db8:96::1")
SOURCES = {Family.IPV4: NODE4, Family.IPV6: NODE6}


@pytest.fixture
def client() -> Iterator[Namespace]:
    with Namespace() as client:
        yield client


@pytest.fixture
def node(client: Namespace) -> Iterator[Namespace]:
    with Namespace() as node:
        node.link(client, f"{NODE4}/24,{NODE6}/64", f"{CLIENT4}/24,{CLIENT6}/64")
        client.run(f"ip route add {VIP4} via {NODE4}")
        client.run(f"ip route add {VIP6} via {NODE6}")
        yield node


@pytest.fixture
def device(node: Namespace) -> Iterator[VipDevice]:
    device = opened(node)
    yield device
    device.close()


def opened(node: Namespace) -> VipDevice:
    with node.inside():
        return VipDevice()


def answers(asking: Namespace, vip: Address) -> bool:
    return " 1 received" in asking.run(f"ping -c 1 -W 2 {vip}")


def source(node: Namespace, destination: Address) -> str:
    words = node.run(f"ip route get {destination}").split()
    return words[words.index("src") + 1]


@pytest.mark.parametrize(("vip", "own"), [(VIP4, NODE4), (VIP6, NODE6)])
def test_a_vip_answers_clients_and_the_node_talks_to_it_from_its_own_address(
    node: Namespace, client: Namespace, device: VipDevice, vip: Address, own: Address
) -> None:
    assert device.write([vip], [], SOURCES) == {}
    assert device.read() == {vip}
    assert answers(client, vip)
    assert source(node, vip) == str(own)


def test_a_vip_is_no_address_that_the_kernel_could_choose_as_a_source(node: Namespace, device: VipDevice) -> None:
    device.write([VIP4, VIP6], [], SOURCES)
    shown = node.run(f"ip address show dev {DEVICE}")
    assert str(VIP4) not in shown
    assert str(VIP6) not in shown
    assert "NOARP" in shown


def test_a_vip_that_goes_leaves_the_others(client: Namespace, device: VipDevice) -> None:
    device.write([VIP4, VIP6], [], SOURCES)
    assert device.write([], [VIP4], SOURCES) == {}
    assert device.read() == {VIP6}
    assert answers(client, VIP6)


def test_an_agent_that_has_just_started_knows_the_vips_and_mends_their_source(
    node: Namespace, device: VipDevice
) -> None:
    device.write([VIP4], [], SOURCES)
    moved = ip_address("198.18.5.9")
    node.run(f"ip address add {moved}/24 dev eth0")
    fresh = opened(node)
    assert fresh.read() == {VIP4}
    assert fresh.write([], [], {Family.IPV4: moved}) == {}
    assert source(node, VIP4) == str(moved)
    fresh.close()


def test_a_source_that_is_no_address_of_the_node_takes_no_vip_down(client: Namespace, device: VipDevice) -> None:
    device.write([VIP4], [], SOURCES)
    assert device.write([], [], {Family.IPV4: ip_address("203.0.113.1")}) == {}
    assert device.read() == {VIP4}
    assert answers(client, VIP4)


def test_a_source_is_used_as_soon_as_it_is_an_address_of_the_node(node: Namespace, device: VipDevice) -> None:
    moved = {Family.IPV4: ip_address("198.18.5.9")}
    device.write([VIP4], [], moved)
    node.run("ip address add 198.18.5.9/24 dev eth0")
    assert device.write([], [], moved) == {}
    assert source(node, VIP4) == "198.18.5.9"


def test_an_address_of_another_interface_is_left_where_it_is(node: Namespace, device: VipDevice) -> None:
    assert device.write([NODE4, VIP4], [], SOURCES) == {}
    assert device.read() == {VIP4}
    assert source(node, CLIENT4) == str(NODE4)


def test_addresses_of_the_node_are_those_of_its_interfaces_without_any_proxys_vips(
    node: Namespace, device: VipDevice
) -> None:
    device.write([VIP4, VIP6], [], SOURCES)
    node.run("ip link add kube-ipvs0 type dummy")
    node.run("ip address add 198.18.97.1/32 dev kube-ipvs0")
    assert device.local_addresses() == {NODE4, NODE6}


def test_a_vip_stands_beside_the_one_that_another_proxy_left(node: Namespace, device: VipDevice) -> None:
    node.run("ip link add kube-ipvs0 type dummy")
    node.run(f"ip address add {VIP4}/32 dev kube-ipvs0")
    assert device.write([VIP4], [], SOURCES) == {}
    node.run("ip link delete kube-ipvs0")
    assert device.read() == {VIP4}


def test_removing_leaves_the_node_as_it_was(node: Namespace, device: VipDevice) -> None:
    def seen() -> list[str]:
        commands = ("ip -o link", "ip -4 route show table all", f"ip -6 route show table local {VIP6}")
        return [node.run(each) for each in commands]

    before = seen()
    device.write([VIP4, VIP6], [], SOURCES)
    assert seen() != before
    device.remove()
    device.remove()
    assert seen() == before
