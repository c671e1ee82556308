"""The steps of an explanation, one situation each."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from birdctl.addresses import Family
from birdctl.observe.kernel import KernelRoute
from birdctl.observe.route_path import Evidence, explain
from birdctl.observe.verdicts import Filters
from birdctl.routing.inventory import from_config
from birdctl.routing.model import PeerType
from birdctl.routing.render import render
from birdctl.routing.state import NextHop, RouteState, SessionState
from tests.configs import external_session, mesh_session, node_config, pattern, peer_filters

FROM_TOR = ip_network("198.51.100.0/24")
PODS_OF_N2 = ip_network("10.1.2.0/24")
OWN_PODS = ip_network("10.1.1.0/24")

CONFIG = node_config(
    1,
    (2, 17, 5),
    mesh_session(1, 2),
    mesh_session(1, 3),
    mesh_session(1, 4, type=PeerType.CLIENT),
    external_session("tor1", "10.9.0.9", 65001),
    filters=peer_filters("tor1", Family.IPV4, pattern(FROM_TOR)),
)
RENDERED = render(CONFIG)
UP = ("node_n2", "node_n3", "node_n4", "peer_tor1")


def hop(address: str) -> NextHop:
    return NextHop(address=ip_address(address), interface="eth0")


def route(protocol: str, prefix: Any = FROM_TOR, **values: Any) -> RouteState:
    return RouteState(prefix=prefix, protocol=protocol, **{"best": True, "next_hops": (hop("10.9.0.9"),), **values})


def evidence(prefix: Any, *routes: RouteState, up: tuple[str, ...] = UP, **values: Any) -> Evidence:
    found = {
        "prefix": prefix,
        "inventory": from_config(CONFIG, RENDERED.digest),
        "states": tuple(
            SessionState(protocol=each, state="Established" if each in up else "Active", last_error="refused")
            for each in UP
        ),
        "routes": routes,
        "covering": (),
        "rejected": frozenset(),
        "sent": frozenset(),
        "kernel": (),
        "filters": Filters(RENDERED.text),
        **values,
    }
    return Evidence(**found)


def steps(prefix: Any, *routes: RouteState, **values: Any) -> dict[str, tuple[bool | None, str]]:
    """What is said, by subject."""
    return {step.subject: (step.holds, step.text) for step in explain(evidence(prefix, *routes, **values))}


def test_a_route_in_order_is_in_bird_in_the_kernel_and_at_the_peers() -> None:
    kernel = (KernelRoute(prefix=FROM_TOR, protocol="bird", next_hops=(hop("10.9.0.9"),), metric=32),)
    sent = frozenset({"node_n2", "node_n3", "node_n4"})
    found = steps(FROM_TOR, route("peer_tor1", as_path=(65001, 65002)), kernel=kernel, sent=sent)
    assert found == {
        "BIRD": (True, "learned it from tor1 (external), best, next hop 10.9.0.9 dev eth0, AS path 65001 65002"),
        "kernel": (True, "installed: via 10.9.0.9 dev eth0, metric 32"),
        "n2,n3,n4": (True, "was sent it"),
        "tor1": (False, "was not sent it: it came from there"),
    }


def test_nobody_announces_it() -> None:
    assert steps(FROM_TOR) == {
        "BIRD": (False, "has no route for exactly this prefix"),
        "n2,n3,n4,tor1": (False, "does not announce it"),
        "kernel": (False, "no route: BIRD has none"),
    }


def test_the_sessions_that_could_bring_it_are_down() -> None:
    assert steps(FROM_TOR, up=())["n2,n3,n4,tor1"] == (False, "cannot bring it: its session is Active (refused)")


def test_a_peer_would_not_be_believed() -> None:
    found = steps(ip_network("203.0.113.0/24"))
    assert found["tor1"] == (False, "would not be believed: no term of filter tor1_in4 takes it")


def test_the_term_that_rejected_a_route_is_named() -> None:
    found = steps(ip_network("203.0.113.0/24"), rejected=frozenset({"peer_tor1"}))
    assert found["tor1"] == (False, "announces it, which is rejected: no term of filter tor1_in4 takes it")
    assert found["n2,n3,n4"] == (False, "does not announce it")


def test_a_route_that_one_peer_brought_and_another_in_vain() -> None:
    found = list(explain(evidence(FROM_TOR, route("node_n2"), rejected=frozenset({"peer_tor1"}))))
    assert [(step.subject, step.holds, step.text.partition(",")[0]) for step in found[:2]] == [
        ("BIRD", True, "learned it from n2 (mesh)"),
        ("tor1", False, "announces it"),
    ]


def test_an_import_limit_rejects_what_the_filter_accepts() -> None:
    found = steps(FROM_TOR, rejected=frozenset({"peer_tor1"}))
    assert found["tor1"][1] == (
        "announces it, which is rejected: term 1 of filter tor1_in4 accepts it, but the import limit is reached"
    )


def test_nobody_may_bring_the_node_its_own_pods() -> None:
    found = steps(ip_network("10.1.1.128/25"))
    assert found["n2,n3,n4"][1] == "would not be believed: term 1 (pods of this node) of filter mesh_in4"


def test_a_covering_route_is_named() -> None:
    covering = (route("peer_tor1", ip_network("198.51.0.0/16")),)
    found = steps(FROM_TOR, covering=covering)
    assert found["BIRD"] == (None, "uses 198.51.0.0/16 for its addresses, from peer_tor1")


def test_an_unreachable_next_hop() -> None:
    found = steps(FROM_TOR, route("peer_tor1", next_hops=(), unreachable=True))
    assert found["BIRD"] == (False, "learned it from tor1 (external), best, its next hop is unreachable")
    assert found["kernel"] == (False, "no route: nothing leads to the next hop (tables igp4, igp6)")


def test_the_kernel_lost_the_route() -> None:
    assert steps(FROM_TOR, route("peer_tor1"))["kernel"] == (False, "no route, although BIRD has one: see BIRD's log")


def test_somebody_else_s_kernel_route_is_in_the_way() -> None:
    kernel = (KernelRoute(prefix=FROM_TOR, protocol="static", next_hops=(hop("10.9.0.77"),)),)
    found = list(
        explain(
            Evidence(
                prefix=FROM_TOR,
                inventory=from_config(CONFIG, RENDERED.digest),
                states=(),
                routes=(route("peer_tor1"),),
                covering=(),
                rejected=frozenset(),
                sent=frozenset(),
                kernel=kernel,
                filters=Filters(RENDERED.text),
            )
        )
    )
    assert [(step.holds, step.text) for step in found if step.subject == "kernel"] == [
        (True, "made by static: via 10.9.0.77 dev eth0, metric 0"),
        (False, "BIRD leaves routes alone that others made"),
    ]


def test_a_route_of_the_kernel_itself_is_background() -> None:
    kernel = (KernelRoute(prefix=FROM_TOR, protocol="static", next_hops=(hop("10.9.0.77"),)),)
    found = steps(FROM_TOR, route("kernel4"), kernel=kernel)
    assert found["BIRD"] == (None, "knows it from the kernel, to resolve next hops over it")
    assert found["kernel"][0] is True
    assert found["n2,n3,n4"][1] == "was not sent it: no term of filter mesh_out4 takes it"


def test_what_the_node_originates_is_not_bird_s_to_install() -> None:
    found = steps(OWN_PODS, route("pods4", OWN_PODS, next_hops=()), sent=frozenset({"peer_tor1"}))
    assert found["BIRD"] == (True, "originates it (pod) in pods4, from Node n1")
    assert found["kernel"][0] is None
    assert found["tor1"] == (True, "was sent it")


def test_a_filter_that_accepts_and_a_peer_without_the_route_means_it_is_held_back() -> None:
    own = route("pods4", OWN_PODS, next_hops=())
    assert steps(OWN_PODS, own)["tor1"][1] == (
        "was not sent it: term 1 of filter tor1_out4 accepts it, so a limit holds it back, or the exchange is not over"
    )
    assert steps(OWN_PODS, own, recovering=True)["n2,n3,n4,tor1"][1] == (
        "was not sent it: BIRD recovers from a restart and waits for its peers"
    )


def test_ibgp_is_passed_on_only_by_reflectors() -> None:
    found = steps(PODS_OF_N2, route("node_n2", PODS_OF_N2))
    assert found["n3"][1] == "was not sent it: iBGP does not pass on what iBGP brought (RFC 4271 9.2.1)"
    assert found["n4"][1].startswith(
        "was not sent it: term 2 (learned from external peers) of filter mesh_out4 accepts"
    )
    assert found["tor1"][1] == "was not sent it: no term of filter tor1_out4 takes it"


def test_a_session_without_the_family_cannot_carry_it() -> None:
    own = ip_network("fd01:1::/64")
    found = steps(own, route("pods6", own, next_hops=()))
    assert found["tor1"] == (False, "was not sent it: the session does not carry IPv6")
