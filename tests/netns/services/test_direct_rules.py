"""The node's part of direct server return: a rule for marked packets, and a table in which every address is ours."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.services.direct import DirectReturns
from birdctl.services.model import DIRECT_MARK, DirectReturn, Port, Protocol
from tests.bird.daemon import Namespace

VIPS = {Family.IPV4: ip_address("203.0.113.80"), Family.IPV6: ip_address("2001:db8:f::80")}
ALIEN = DIRECT_MARK ^ 0x40000000


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace() as node:
        yield node


@pytest.fixture
def direct(node: Namespace) -> Iterator[DirectReturns]:
    with node.inside():
        direct = DirectReturns()
    yield direct
    direct.close()


def returns(*families: Family) -> list[DirectReturn]:
    """None of whose pods is here."""
    return [
        DirectReturn(
            port=Port(address=VIPS[of], protocol=Protocol.TCP, port=80), mark=DIRECT_MARK | 1, local_pods=frozenset()
        )
        for of in families
    ]


def is_local(node: Namespace, of: Family, mark: int) -> bool:
    return node.run(f"ip route get {VIPS[of]} mark {mark:#x}").startswith("local")


@pytest.fixture
def way_out(node: Namespace) -> None:
    """Without a mark, packets go to a router."""
    node.run("ip link add out type bridge")
    node.run("ip address add 198.18.9.1/24 dev out")
    node.run("ip address add 2001:db8:9::1/64 dev out")
    node.run("ip link set out up")
    node.run("ip route add default via 198.18.9.2")
    node.run("ip route add default via 2001:db8:9::2")


@pytest.mark.usefixtures("way_out")
@pytest.mark.parametrize("of", Family)
def test_marked_packets_are_for_this_node_and_no_others(node: Namespace, direct: DirectReturns, of: Family) -> None:
    assert direct.apply(returns(of)) == {}
    assert is_local(node, of, DIRECT_MARK | 1)
    assert not is_local(node, of, 0)
    assert not is_local(node, of, ALIEN)


def test_what_was_made_is_marked_as_ours_and_only_for_the_families_in_use(
    node: Namespace, direct: DirectReturns
) -> None:
    direct.apply(returns(Family.IPV6))
    assert "proto 98" in node.run("ip -6 route show table 98")
    assert "proto 98" in node.run("ip -details -6 rule show priority 98")
    assert not node.run("ip rule show priority 98")


def test_nothing_is_left_when_the_last_one_goes(node: Namespace, direct: DirectReturns) -> None:
    before = [node.run("ip rule"), node.run("ip -6 rule"), node.run("ip route show table all")]
    direct.apply(returns(*Family))
    assert direct.apply(()) == {}
    assert [node.run("ip rule"), node.run("ip -6 rule"), node.run("ip route show table all")] == before


def test_rules_of_others_stay(node: Namespace, direct: DirectReturns) -> None:
    node.run("ip rule add fwmark 0x1 table 98 priority 98")
    direct.apply(returns(Family.IPV4))
    direct.apply(())
    assert "fwmark 0x1 lookup 98" in node.run("ip rule show priority 98")
