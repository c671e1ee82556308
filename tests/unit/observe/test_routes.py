"""BIRD's routes joined with the kernel's and with people's names."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from birdctl.observe.kernel import KernelRoute, of_bird
from birdctl.observe.routes import routes
from birdctl.observe.sessions import sessions
from birdctl.observe.views import Route
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.model import PeerType
from birdctl.routing.state import NextHop, RouteState, SessionState

PREFIX = ip_network("10.1.2.0/24")


def names(peer: str, kind: PeerType, **values: Any) -> SessionNames:
    return SessionNames(peer=peer, type=kind, origin=f"Node {peer}", remote_asn=64512, local_asn=64512, **values)


INVENTORY = Inventory(
    node="n1",
    digest="d",
    version=(2, 17, 5),
    router_id="10.0.0.1",
    sessions={
        "node_n2": names("n2", PeerType.REFLECTOR),
        "node_n3": names("n3", PeerType.REFLECTOR),
        "peer_tor1": names("tor1", PeerType.EXTERNAL),
        "peer_port7": names("port7", PeerType.EXTERNAL, interface="eth7"),
    },
    originated={"pods4": {"10.1.1.0/24": "pod"}, "services4": {"10.96.0.1/32": "clusterIP"}},
)
SESSIONS = (
    SessionState(protocol="node_n2", state="Established", router_id="10.0.0.2"),
    SessionState(protocol="node_n3", state="Established", router_id="10.0.0.3"),
    SessionState(protocol="peer_tor1", state="Established", router_id="10.0.0.9"),
)


def hop(address: str, interface: str = "eth0", weight: int = 1) -> NextHop:
    return NextHop(address=ip_address(address), interface=interface, weight=weight)


def learned(protocol: str = "node_n2", address: str = "10.0.0.2", **values: Any) -> RouteState:
    values = {
        "prefix": PREFIX,
        "best": True,
        "next_hops": (hop(address),),
        "learned_from": ip_address(address),
        **values,
    }
    return RouteState(protocol=protocol, **values)


def shown(*found: RouteState, kernel: tuple[NextHop, ...] = ()) -> list[Route]:
    return list(routes(INVENTORY, found, SESSIONS, {PREFIX: kernel} if kernel else {}))


def test_a_route_is_installed_when_the_kernel_has_all_its_next_hops() -> None:
    (route,) = shown(learned(), kernel=(hop("10.0.0.2"),))
    assert (route.installed, route.peer, route.source) == (True, "n2", "learned")


def test_a_route_with_another_next_hop_is_not_installed() -> None:
    (route,) = shown(learned(), kernel=(hop("10.0.0.7"),))
    assert route.installed is False
    assert route.next_hops[0].address == "10.0.0.2"


def test_a_route_that_the_kernel_does_not_have_is_not_installed() -> None:
    assert shown(learned())[0].installed is False


def test_an_unreachable_route_is_not_installed() -> None:
    assert shown(learned(next_hops=(), unreachable=True), kernel=(hop("10.0.0.2"),))[0].installed is False


def test_with_multipath_every_route_has_its_share_and_the_kernel_s_weight() -> None:
    second = learned("peer_tor1", "10.0.0.9", best=False)
    first, other = shown(second, learned(), kernel=(hop("10.0.0.2", weight=3), hop("10.0.0.9")))
    assert (first.best, first.installed, first.next_hops[0].weight) == (True, True, 3)
    assert (other.best, other.installed, other.peer) == (False, True, "tor1")


def test_what_the_node_originates_is_neither_installed_nor_missing() -> None:
    pods = RouteState(prefix=ip_network("10.1.1.0/24"), protocol="pods4", best=True)
    service = RouteState(prefix=ip_network("10.96.0.1/32"), protocol="services4", best=True)
    found = shown(pods, service)
    assert [(each.installed, each.source, each.origin_node) for each in found] == [
        (None, "pod", "n1"),
        (None, "clusterIP", "n1"),
    ]


def test_the_origin_is_the_peer_or_the_originator_that_a_reflector_names() -> None:
    assert shown(learned())[0].origin_node == "n2"
    assert shown(learned(originator="10.0.0.3"))[0].origin_node == "n3"
    assert shown(learned(originator="10.0.0.44"))[0].origin_node is None
    assert shown(learned("peer_tor1", "10.0.0.9"))[0].origin_node is None


def test_what_the_kernel_told_bird_is_left_out() -> None:
    assert shown(RouteState(prefix=PREFIX, protocol="kernel4", best=True)) == []


def test_a_route_of_no_peer_and_no_origin_is_static() -> None:
    assert shown(RouteState(prefix=PREFIX, protocol="mine", best=True))[0].source == "static"


def test_routes_are_in_the_order_of_prefixes_the_best_first() -> None:
    six = RouteState(prefix=ip_network("fd00::/64"), protocol="node_n2", best=True)
    low = RouteState(prefix=ip_network("9.0.0.0/8"), protocol="node_n2", best=True)
    found = shown(six, learned("peer_tor1", "10.0.0.9", best=False), learned(), low)
    assert [(each.prefix, each.best) for each in found] == [
        ("9.0.0.0/8", True),
        ("10.1.2.0/24", True),
        ("10.1.2.0/24", False),
        ("fd00::/64", True),
    ]


def test_bird_s_kernel_routes_are_those_that_bird_made() -> None:
    six = ip_network("fd00::/64")
    found = (
        KernelRoute(prefix=PREFIX, protocol="static", next_hops=(hop("10.0.0.7"),)),
        KernelRoute(prefix=six, protocol="bird", next_hops=(hop("fd00::2"),)),
        KernelRoute(prefix=six, protocol="bird", next_hops=(hop("fd00::3"),)),
    )
    assert of_bird(found) == {six: (hop("fd00::2"), hop("fd00::3"))}


def test_every_configured_session_is_joined_with_what_runs() -> None:
    neighbour = SessionState(protocol="peer_port7_1", state="Established")
    foreign = SessionState(protocol="other", state="Established")
    down = SessionState(protocol="node_n2", state="Active", last_error="Connection refused")
    found = {each.names.peer: each for each in sessions(INVENTORY, (down, neighbour, foreign))}
    assert {peer: each.is_up for peer, each in found.items()} == {
        "n2": False,
        "n3": False,
        "port7": True,
        "tor1": False,
    }
    assert found["port7"].state is neighbour
    assert found["n2"].down == "its session is Active (Connection refused)"
    assert found["n3"].down == "BIRD does not run its session"
