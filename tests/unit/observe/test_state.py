"""Converged, healthy, ready, alive: four words, told apart by tables; and the status document."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from birdctl.errors import InputError
from birdctl.observe import health
from birdctl.observe.sight import Sight
from birdctl.observe.state import Policies, Routing, State, document
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.model import PeerType
from birdctl.routing.state import BirdStatus, SessionState

NAMES = SessionNames(peer="b", type=PeerType.MESH, origin="Node b", remote_asn=64512, local_asn=64512)


def inventory(sessions: int) -> Inventory:
    names = {f"node_{number}": NAMES for number in range(sessions)}
    return Inventory(node="a", digest="d", version=(2, 0, 12), router_id="192.0.2.1", sessions=names)


def sight(carrying: int, *, recovering: bool = False, uptime: float = 10.0) -> Sight:
    """BIRD with this many sessions that are through with the initial exchange, and one that is not."""
    sessions = [SessionState(protocol=f"node_{n}", state="Established", end_of_rib=True) for n in range(carrying)]
    sessions.append(SessionState(protocol="late", state="Established"))
    status = BirdStatus(version=(2, 0, 12), router_id="192.0.2.1", uptime=uptime, recovering=recovering)
    return Sight(status=status, sessions=tuple(sessions), bfd=(), peers=(), at=time.monotonic())


def good(**changes: object) -> State:
    """Converged, healthy and ready, but for `changes`."""
    routing = Routing(
        inventory=inventory(4),
        synced=True,
        running="d",
        desired="d",
        dirty=False,
        generation=3,
        last_sync=1_700_000_000.0,
        last_sync_seconds=0.02,
        sight=sight(4),
    )
    whole = State(node="a", source="manifests", routing=routing)
    agent = {name: changes.pop(name) for name in [*changes] if name in whole.__struct_fields__}
    return replace(whole, routing=replace(routing, **changes), **agent)


def enforcing(**changes: object) -> Policies:
    """Policies that are in the kernel, but for `changes`."""
    whole = Policies(synced=True, dirty=False, generation=2, last_sync=1_700_000_060.0, last_sync_seconds=0.01)
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("change", "converged"),
    [
        ({}, True),
        ({"running": "other"}, False),
        ({"running": None}, False),
        ({"desired": None, "running": None}, False),
        ({"dirty": True}, False),
        ({"synced": False}, False),
        ({"error": "refused: withdraws 2 of 2 prefixes"}, False),
        ({"source_error": "no API server"}, True),
        ({"sight": sight(0)}, True),
    ],
)
def test_converged_is_about_what_was_said_and_what_runs(change: dict[str, object], converged: bool) -> None:
    assert good(**change).converged is converged


@pytest.mark.parametrize(
    ("configured", "carrying", "percent", "enough"),
    [
        (0, 0, 50, True),
        (1, 0, 50, False),
        (1, 1, 50, True),
        (4, 1, 50, False),
        (4, 2, 50, True),
        (5, 2, 50, False),
        (5, 3, 50, True),
        (4, 0, 0, False),
        (4, 1, 0, True),
        (4, 3, 100, False),
        (4, 4, 100, True),
    ],
)
def test_healthy_needs_its_share_of_sessions_and_at_least_one(
    configured: int, carrying: int, percent: int, enough: bool
) -> None:
    state = good(inventory=inventory(configured), sight=sight(carrying), quorum=percent / 100)
    assert state.healthy is enough


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, ("", "", "")),
        ({"bird_error": "no BIRD"}, ("", "no BIRD", "no BIRD")),
        ({"last_sync": None}, ("", "", "waiting for the first complete sync")),
        ({"last_sync": None, "error": "Node a: is gone"}, ("", "", "Node a: is gone")),
        ({"sight": sight(4, recovering=True)}, ("", "", "BIRD recovers from its restart")),
        ({"sight": None}, ("", "", "BIRD recovers from its restart")),
        ({"sight": sight(1)}, ("", "", "1 of 4 sessions carry their routes")),
        ({"running": "other"}, ("", "", "")),
    ],
)
def test_each_probe_says_what_is_wrong(change: dict[str, object], wrong: tuple[str, str, str]) -> None:
    state = good(**change)
    assert (health.livez(state), health.healthz(state), health.readyz(state)) == wrong
    assert state.ready is (health.readyz(state) == "")


def test_a_loop_that_does_not_turn_fails_every_probe() -> None:
    stuck = good(heartbeat=time.monotonic() - 90, patience=60.0)
    for probe in health.CHECKS.values():
        assert probe(stuck).startswith("the loop has not turned for 9")
    assert health.livez(good(heartbeat=time.monotonic() - 50, patience=60.0)) == ""


def test_the_status_document_has_the_agreed_keys() -> None:
    assert document(good()) == {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "Status",
        "node": "a",
        "converged": True,
        "healthy": True,
        "generation": 3,
        "lastSync": "2023-11-14T22:13:20Z",
        "problems": [],
        "domains": {
            "routing": {"enabled": True, "converged": True, "pendingChanges": 0, "lastSyncSeconds": 0.02},
        },
        "bird": {
            "version": "2.0.12",
            "routerId": "192.0.2.1",
            "uptimeSeconds": 10,
            "configDigest": "d",
            "recovering": False,
        },
        "source": {"kind": "manifests", "synced": True},
    }


def test_what_is_unknown_is_absent_from_the_status() -> None:
    waiting = Routing(inventory=inventory(0), bird_error="no BIRD")
    found = document(State(node="a", source="apiserver", routing=waiting))
    assert "lastSync" not in found
    assert found["bird"] == {"lastError": "no BIRD"}
    assert found["lastError"] == "no BIRD"
    assert found["source"] == {"kind": "apiserver", "synced": False}


def test_objects_that_were_left_out_are_listed() -> None:
    state = good(problems=(InputError("BGPPeer tor", "spec.asn", "is 0"),))
    assert document(state)["problems"] == ["BGPPeer tor: spec.asn: is 0"]


UNPROGRAMMED = (InputError("NetworkPolicy x/p", "", "the set is full"),)


@pytest.mark.parametrize(
    ("change", "converged", "healthy", "ready"),
    [
        ({}, True, True, True),
        ({"dirty": True}, False, True, True),
        ({"error": "iptables: refused"}, False, False, False),
        ({"last_sync": None}, False, True, False),
        ({"unprogrammed": UNPROGRAMMED}, True, False, False),
    ],
)
def test_a_node_is_what_all_its_domains_are(
    change: dict[str, object], converged: bool, healthy: bool, ready: bool
) -> None:
    both = replace(good(), policies=enforcing(**change))
    alone = replace(both, routing=None)
    for state in (both, alone):
        assert (state.converged, state.healthy, state.ready) == (converged, healthy, ready)
        assert (health.readyz(state) == "") is ready


def test_policies_need_no_bird() -> None:
    state = State(node="a", source="manifests", policies=enforcing())
    assert state.ready
    assert document(state)["bird"] == {}
    assert document(state)["domains"] == {
        "policies": {"enabled": True, "converged": True, "pendingChanges": 0, "lastSyncSeconds": 0.01}
    }


def test_the_domain_that_is_furthest_behind_tells_the_time_of_the_node() -> None:
    both = replace(good(), policies=enforcing())
    assert both.last_sync == 1_700_000_000.0
    assert replace(both, policies=enforcing(last_sync=None)).last_sync is None
    assert both.generation == 5


def test_a_problem_that_several_domains_see_is_told_once() -> None:
    wrong = (InputError("Node a", "spec.podCIDR", "is no prefix"),)
    both = replace(good(problems=wrong), policies=enforcing(problems=wrong, unprogrammed=UNPROGRAMMED))
    assert both.problems == (*wrong, *UNPROGRAMMED)


def test_one_loop_that_does_not_turn_is_enough_to_fail() -> None:
    both = replace(good(), policies=enforcing(heartbeat=time.monotonic() - 90, patience=60.0))
    assert health.livez(both).startswith("the loop has not turned for 9")
