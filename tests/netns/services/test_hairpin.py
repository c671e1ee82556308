"""Ports of bridges that send packets back: found by whom a pod answers to, and set for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from birdctl.addresses import Address
from birdctl.services.hairpin import HairpinPorts
from tests.bird.daemon import Namespace

POD4, POD6 = ip_address("198.18.4.2"), ip_address("2001:db8:4::2")
OTHER4 = ip_address("198.18.4.3")


@pytest.fixture
def node() -> Iterator[Namespace]:
    """Two pods on a bridge, one behind a link of its own."""
    with ExitStack() as stack:
        node, pod, other, routed = (stack.enter_context(Namespace()) for _ in range(4))
        node.run("ip link add pods type bridge forward_delay 0")
        node.run("ip address add 198.18.4.1/24 dev pods")
        node.run("ip address add 2001:db8:4::1/64 dev pods")
        node.run("ip link set pods up")
        for name, space, addresses in (
            ("pod", pod, f"{POD4}/24,{POD6}/64"),
            ("other", other, f"{OTHER4}/24,2001:db8:4::3/64"),
        ):
            node.link(space, "169.254.0.1/32", addresses, name)
            node.run(f"ip address flush dev {name} scope global")
            node.run(f"ip link set {name} master pods")
        node.link(routed, "198.18.5.1/24", "198.18.5.2/24", "routed")
        yield node


@pytest.fixture
def ports(node: Namespace) -> Iterator[HairpinPorts]:
    with node.inside():
        ports = HairpinPorts()
    yield ports
    ports.close()


def is_on(node: Namespace, name: str) -> bool:
    return "hairpin on" in node.run(f"ip -details link show dev {name}")


@pytest.mark.parametrize("pod", [POD4, POD6])
def test_a_pod_that_the_node_never_talked_to_is_found(node: Namespace, ports: HairpinPorts, pod: Address) -> None:
    assert ports.apply([pod]) == {}
    assert is_on(node, "pod")
    assert not is_on(node, "other")


@pytest.mark.parametrize("pod", [POD4, POD6])
def test_a_pod_that_the_bridge_has_forgotten_is_found(node: Namespace, ports: HairpinPorts, pod: Address) -> None:
    node.run(f"ping -c 1 {pod}")
    node.run("ip link set dev pods type bridge fdb_flush")
    assert ports.apply([pod]) == {}
    assert is_on(node, "pod")


def test_a_pod_that_does_not_answer_is_named_and_the_others_are_set(node: Namespace, ports: HairpinPorts) -> None:
    gone = ip_address("198.18.4.99")
    assert ports.apply([gone, POD4]) == {gone: "it does not answer on its bridge"}
    assert is_on(node, "pod")


def test_a_pod_on_no_bridge_needs_nothing(ports: HairpinPorts) -> None:
    assert ports.apply([ip_address("198.18.5.2"), ip_address("203.0.113.1")]) == {}


def test_verifying_sets_what_somebody_switched_off(node: Namespace, ports: HairpinPorts) -> None:
    ports.apply([POD4])
    node.run("bridge link set dev pod hairpin off")
    ports.apply([POD4], verify=True)
    assert is_on(node, "pod")
