"""What recorded `show route all` of every supported BIRD say."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from birdctl.errors import Unavailable
from birdctl.routing.protocol import Line
from birdctl.routing.readback_routes import routes
from birdctl.routing.state import NextHop, RouteState
from tests.unit.routing.recorded import VERSIONS, lines

pytestmark = pytest.mark.parametrize("version", VERSIONS)

PEER = ip_address("10.0.0.2")


def found(version: str, name: str = "routes") -> dict[tuple[str, str], RouteState]:
    return {(str(each.prefix), each.protocol): each for each in routes(lines(version, name))}


def test_a_bgp_route_has_all_its_attributes(version: str) -> None:
    assert found(version)["10.2.0.0/24", "node_both"] == RouteState(
        prefix=ip_network("10.2.0.0/24"),
        protocol="node_both",
        best=True,
        next_hops=(NextHop(address=PEER, interface="eth0"),),
        as_path=(65010,),
        communities=("65001:80", "65535:65281"),
        large_communities=("64512:1:2",),
        local_pref=100,
        med=10,
        learned_from=PEER,
    )


def test_a_reflected_route_names_its_originator_and_the_reflector(version: str) -> None:
    route = found(version)["10.22.0.0/24", "node_both"]
    assert route.originator == "10.0.0.22"
    assert route.learned_from == PEER
    assert route.next_hops == (NextHop(address=ip_address("10.0.0.22"), interface="eth0"),)


def test_a_next_hop_of_somebody_else_is_not_the_neighbour(version: str) -> None:
    route = found(version)["10.2.1.0/24", "node_both"]
    assert (route.learned_from, route.next_hops[0].address) == (PEER, ip_address("10.0.0.3"))


def test_a_static_route_has_no_bgp_attributes_and_no_neighbour(version: str) -> None:
    assert found(version)["172.16.0.0/16", "static4"] == RouteState(
        prefix=ip_network("172.16.0.0/16"),
        protocol="static4",
        best=True,
        next_hops=(NextHop(address=PEER, interface="eth0"),),
    )


def test_a_multipath_route_has_its_weights(version: str) -> None:
    assert found(version)["172.17.0.0/16", "multipath4"].next_hops == (
        NextHop(address=PEER, interface="eth0", weight=3),
        NextHop(address=ip_address("10.0.0.3"), interface="eth0", weight=1),
    )


def test_blackhole_and_unreachable_routes_have_no_next_hop(version: str) -> None:
    table = found(version)
    blackhole, unreachable = table["10.1.0.0/24", "pods4"], table["10.1.1.0/24", "pods4"]
    assert (blackhole.next_hops, blackhole.unreachable) == ((), False)
    assert (unreachable.next_hops, unreachable.unreachable) == ((), True)


def test_an_attribute_set_on_a_static_route_is_read(version: str) -> None:
    assert found(version)["10.96.0.1/32", "services4"].med == 5


def test_a_second_route_of_a_prefix_belongs_to_that_prefix(version: str) -> None:
    both = [each for each in found(version).values() if each.prefix == ip_network("10.2.0.0/24")]
    assert sorted(each.protocol for each in both) == ["node_both", "range4_1"]
    assert [each.protocol for each in both if each.best] == ["node_both"]


def test_a_link_local_next_hop_names_its_interface(version: str) -> None:
    route = found(version)["2001:db8:2::/64", "node_link_local"]
    assert route.next_hops == (NextHop(address=ip_address("fe80::2"), interface="eth0"),)
    assert route.learned_from == ip_address("fe80::2")


def test_a_route_on_a_link_has_an_interface_alone(version: str) -> None:
    (route,) = routes(lines(version, "routes-table"))
    assert (route.protocol, route.next_hops) == ("connected", (NextHop(address=None, interface="eth0"),))


def test_a_filtered_route_is_not_the_best(version: str) -> None:
    (route,) = routes(lines(version, "routes-filtered"))
    assert (str(route.prefix), route.best) == ("10.2.9.0/24", False)


@pytest.mark.parametrize(
    ("name", "count"), [("routes-none", 0), ("routes-export", 3), ("routes-prefix", 2), ("routes-protocol", 4)]
)
def test_a_selection_has_its_routes_and_no_more(version: str, name: str, count: int) -> None:
    assert len(found(version, name)) == count


def test_the_same_routes_are_read_from_an_iso_timeformat(version: str) -> None:
    assert found(version, "routes-iso") == found(version)


def test_routes_come_while_the_reply_still_does(version: str) -> None:
    sent = iter(lines(version, "routes"))
    assert next(routes(sent))
    assert len(list(sent)) > 50


def test_a_table_cut_short_by_a_reconfiguration_is_no_answer(version: str) -> None:
    half = [*lines(version, "routes")[:20], Line(8004, "Stopped due to reconfiguration", last=True)]
    with pytest.raises(Unavailable, match="broke off"):
        list(routes(half))
