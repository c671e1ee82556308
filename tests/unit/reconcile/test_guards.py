"""What a plan refuses, told as tables: what runs, what is desired, what is up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from birdctl.addresses import Family, parse_address, parse_prefix
from birdctl.errors import InputError
from birdctl.reconcile import guards
from birdctl.routing import inventory as inventories
from birdctl.routing.inventory import Inventory
from birdctl.routing.model import (
    BirdConfig,
    Channel,
    Filter,
    Limit,
    Originated,
    PeerType,
    PrefixPattern,
    Session,
    Term,
)

TYPES = {"m": PeerType.MESH, "r": PeerType.REFLECTOR, "c": PeerType.CLIENT, "e": PeerType.EXTERNAL}


def config(sessions: str = "", prefixes: str = "10.1.0.0/24", limit: Limit | None = None) -> BirdConfig:
    """Sessions by name, whose first letter is the type (`m1 r1 e1`); an external peer gets everything."""
    channel = Channel(family=Family.IPV4, import_filter="in4", export_filter="out4", export_limit=limit)
    found = tuple(parse_prefix(each) for each in prefixes.split())
    return BirdConfig(
        node="a",
        version=(2, 0, 12),
        router_id="192.0.2.1",
        families=(Family.IPV4,),
        sessions=tuple(
            Session(
                name=name,
                peer=f"peer-{name}",
                type=TYPES[name[0]],
                origin=f"Node {name}",
                local_asn=64512,
                remote_asn=64512,
                address=parse_address("192.0.2.2"),
                channels=(channel,),
            )
            for name in sessions.split()
        ),
        originated=(
            Originated(
                name="pods4", family=Family.IPV4, origin="Node a", prefixes=found, sources=("pod",) * len(found)
            ),
        ),
        filters=(Filter(name="out4", family=Family.IPV4, terms=(Term(accept=True, protocols=("pods4",)),)),),
    )


def inventory(of: BirdConfig) -> Inventory:
    return inventories.from_config(of, "digest")


def refusals(running: BirdConfig | None, desired: BirdConfig, up: str) -> tuple[str, ...]:
    before = inventory(running) if running else None
    return guards.refusals(before, inventory(desired), desired, frozenset(up.split()))


@pytest.mark.parametrize(
    ("running", "up", "desired", "refusal"),
    [
        ("m1 m2 m3", "m1 m2", "", "would remove 3 of 3 sessions, 2 of them Established"),
        ("m1 m2 m3", "m1 m2", "m3", ""),
        ("m1 m2", "", "", ""),
        ("r1 r2", "r1 r2", "e1", "would remove the last 2 reachable of 2 route reflectors (peer-r1, peer-r2)"),
        ("r1 r2", "r2", "r1", "would remove the last 1 reachable of 2 route reflectors (peer-r2)"),
        ("r1 r2", "r1 r2", "r2", ""),
        ("r1 r2", "r1", "r1", ""),
        ("r1", "r1", "r2", ""),
        ("r1", "r1", "m1 m2", ""),
        ("r1 m1", "r1 m1", "m1", ""),
        ("r1", "", "e1", ""),
        ("e1", "e1", "e2", ""),
    ],
)
def test_a_node_is_not_cut_off(running: str, up: str, desired: str, refusal: str) -> None:
    assert refusals(config(running), config(desired), up) == ((refusal,) if refusal else ())


@pytest.mark.parametrize(
    ("running", "desired", "refusal"),
    [
        ("10.1.0.0/24 192.0.2.7/32", "", "withdraws 2 of 2 prefixes"),
        ("10.1.0.0/24 192.0.2.7/32", "10.1.0.0/24", ""),
        ("10.1.0.0/24", "10.2.0.0/24", ""),
        ("", "", ""),
    ],
)
def test_not_every_prefix_is_withdrawn(running: str, desired: str, refusal: str) -> None:
    assert refusals(config("m1", running), config("m1", desired), "m1") == ((refusal,) if refusal else ())


@pytest.mark.parametrize(
    ("action", "prefixes", "refused"),
    [("block", 1, True), ("restart", 1, True), ("disable", 1, True), ("warn", 1, False), ("block", 2, False)],
)
def test_an_export_limit_that_the_nodes_own_prefixes_exceed_is_refused(
    action: str, prefixes: int, refused: bool
) -> None:
    desired = config("e1", "10.1.0.0/24 192.0.2.7/32", Limit(prefixes=prefixes, action=action))
    expected = f"peer-e1 would be sent 2 IPv4 prefixes, its export limit is {prefixes} ({action})"
    assert refusals(None, desired, "") == ((expected,) if refused else ())


POD = PrefixPattern(prefix=parse_prefix("10.0.0.0/8"), min_length=8, max_length=24)
HOST = PrefixPattern(prefix=parse_prefix("10.1.0.0/24"), min_length=32, max_length=32)


@pytest.mark.parametrize(
    ("terms", "accept_rest", "sent"),
    [
        ((), False, 0),
        ((), True, 2),
        ((Term(accept=True, protocols=("pods4",)),), False, 2),
        ((Term(accept=True, protocols=("services4",)),), False, 0),
        ((Term(accept=True, sources=("RTS_BGP",)),), False, 0),
        ((Term(accept=True, sources=("RTS_STATIC",)),), False, 2),
        ((Term(accept=True, prefixes=(POD,)),), False, 1),
        ((Term(accept=True, prefixes=(HOST,)),), False, 0),
        ((Term(accept=False, prefixes=(POD,)),), True, 1),
        ((Term(accept=False, protocols=("pods4",)),), True, 0),
    ],
)
def test_the_first_term_that_takes_a_prefix_decides_whether_it_is_sent(
    terms: tuple[Term, ...], accept_rest: bool, sent: int
) -> None:
    desired = config("e1", "10.1.0.0/24 192.0.2.7/32", Limit(prefixes=0, action="block"))
    filters = (Filter(name="out4", family=Family.IPV4, terms=terms, accept_rest=accept_rest),)
    found = guards.exceeded_limits(replace(desired, filters=filters))
    assert [each.split()[4] for each in found] == ([str(sent)] if sent else [])


@given(st.lists(st.sampled_from(["m1", "r1", "r2", "c1", "e1", "e2"]), unique=True))
def test_a_plan_that_changes_no_session_and_no_prefix_is_never_refused(sessions: list[str]) -> None:
    same = config(" ".join(sessions))
    assert refusals(same, same, " ".join(sessions)) == ()


@pytest.mark.parametrize(
    ("digest", "up", "refusal"),
    [
        (None, "bgp1 bgp2", "BIRD runs somebody else's configuration with 2 sessions Established"),
        (None, "", ""),
        ("digest", "bgp1", ""),
    ],
)
def test_sessions_of_a_foreign_configuration_are_not_taken_over_unasked(
    digest: str | None, up: str, refusal: str
) -> None:
    assert guards.foreign_sessions(digest, up.split()) == ((refusal,) if refusal else ())


@pytest.mark.parametrize(
    ("origin", "lost", "refusal"),
    [
        ("BGPConfiguration default", {"m1", "m2"}, ("would interrupt 2 Established sessions over a fault",)),
        ("/manifests/bgp.yaml: BGPConfiguration default", {"m1"}, ("would interrupt 1 Established sessions",)),
        ("BGPConfiguration default", set(), ()),
        ("BGPPeer tor1", {"e1"}, ()),
    ],
)
def test_a_fault_in_the_configuration_of_the_cluster_interrupts_no_session(
    origin: str, lost: set[str], refusal: tuple[str, ...]
) -> None:
    fault = InputError(origin, "spec.asn", "0 is not between 1 and 4294967295")

    found = guards.misconfigured([fault], lost)

    assert len(found) == len(refusal)
    assert all(text.startswith(start) for text, start in zip(found, refusal, strict=True))
