"""A plan, as text for people and as a document for programs."""

from __future__ import annotations

import pytest

from birdctl.addresses import parse_prefix
from birdctl.errors import InputError, UnsafePlan
from birdctl.reconcile.plan import Plan
from birdctl.routing.impact import Effect, Impact, OriginatedPrefix, SessionImpact

NOTHING = Impact(known=True, sessions=(), others=(), added=(), withdrawn=(), moved=())


def plan(*sessions: SessionImpact, prefixes: str = "", withdrawn: str = "", refusals: tuple[str, ...] = ()) -> Plan:
    return Plan(
        node="a",
        running="old",
        desired="new",
        impact=Impact(
            known=True,
            sessions=sessions,
            others=(),
            added=tuple(OriginatedPrefix(parse_prefix(each), "pods4") for each in prefixes.split()),
            withdrawn=tuple(OriginatedPrefix(parse_prefix(each), "pods4") for each in withdrawn.split()),
            moved=(),
        ),
        names={"peer_tor1": "tor1", "peer_tor2": "tor2", "node_b": "b"},
        refusals=refusals,
    )


def session(name: str, effect: Effect, *causes: str) -> SessionImpact:
    return SessionImpact(name, effect, causes)


def test_sessions_that_meet_the_same_for_the_same_reason_share_a_line() -> None:
    text = plan(
        session("peer_tor1", Effect.RESTART, "hold time 90 -> 9"),
        session("peer_tor2", Effect.RESTART, "hold time 90 -> 9"),
        session("node_b", Effect.NOTHING),
        session("node_c", Effect.REMOVED),
    ).text()
    assert text.splitlines() == [
        "a: old -> new",
        "  restart: tor1, tor2 (hold time 90 -> 9)",
        "  removed: node_c",
        "  unaffected: 1 of 4 sessions",
    ]


def test_prefixes_that_come_and_go_are_listed() -> None:
    lines = plan(prefixes="10.1.0.0/24 10.2.0.0/24", withdrawn="10.3.0.0/24").text().splitlines()
    assert lines[2:] == ["  announced: 10.1.0.0/24, 10.2.0.0/24", "  withdrawn: 10.3.0.0/24"]


def test_the_log_gets_one_short_line() -> None:
    many = " ".join(f"10.0.{number}.0/24" for number in range(30))
    summary = plan(session("node_b", Effect.NEW), prefixes=many).summary()
    assert summary.startswith("new: b; unaffected: 0 of 1 sessions; announced: 10.0.0.0/24, ")
    assert summary.endswith(" and 22 more")
    assert "\n" not in summary


def test_what_runs_already_is_nothing_to_do() -> None:
    same = Plan(node="a", running="x", desired="x", problems=(InputError("BGPPeer tor", "spec.asn", "is 0"),))
    assert not same.changes
    assert same.size == 0
    assert same.text() == "a: nothing to do, BIRD runs x\nleft out: BGPPeer tor: spec.asn: is 0"
    assert same.summary() == "nothing to do"


def test_a_foreign_configuration_is_called_so() -> None:
    found = Plan(node="a", running=None, desired="new", impact=NOTHING)
    assert found.text().startswith("a: a foreign configuration -> new")
    assert found.size == 1


def test_a_refusal_names_its_reasons_and_the_way_past_it() -> None:
    refused = plan(refusals=("withdraws 61 of 61 prefixes", "would remove 3 of 3 sessions"))
    with pytest.raises(UnsafePlan) as error:
        refused.check()
    expected = "refused: withdraws 61 of 61 prefixes; would remove 3 of 3 sessions (--force overrides)"
    assert str(error.value) == expected
    assert refused.text().endswith("refused: withdraws 61 of 61 prefixes\nrefused: would remove 3 of 3 sessions")
    plan().check()


def test_the_document_holds_everything_under_stable_keys() -> None:
    document = plan(session("peer_tor1", Effect.RELOAD_OUT, "filter out4_tor1"), withdrawn="10.3.0.0/24").document()
    assert document == {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "Plan",
        "node": "a",
        "runningDigest": "old",
        "desiredDigest": "new",
        "changes": True,
        "sessions": [{"protocol": "peer_tor1", "peer": "tor1", "effect": "reload out", "causes": ["filter out4_tor1"]}],
        "protocols": [],
        "prefixes": {
            "added": [],
            "withdrawn": [{"prefix": "10.3.0.0/24", "protocol": "pods4"}],
            "moved": [],
        },
        "problems": [],
        "refusals": [],
    }


def test_size_counts_what_changes() -> None:
    assert plan(session("a", Effect.NEW), session("b", Effect.NOTHING), prefixes="10.1.0.0/24").size == 2
    assert plan(session("a", Effect.NEW)).interrupted == frozenset()
    assert plan(session("a", Effect.RESTART)).interrupted == {"a"}
