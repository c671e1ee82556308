"""The way from one set of virtual servers to another: what is done, in which order, and where it ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.services.ipvs_change import ServerChange, Step, changes
from birdctl.services.model import Forwarding, Scheduler, SchedulerFlag
from tests.unit.services.servers import DNS, KEYS, MARK, WEB, by_key, real, server, servers

A, B, C = real("10.2.0.1 8080"), real("10.2.0.2 8080"), real("10.2.0.3 8080")


def idle(each):
    return msgspec.structs.replace(each, weight=0)


def moments(known, change):
    """What there is after each thing that happens in a change of one virtual server."""
    if change.step is Step.DELETE:
        yield None
        return
    kept = known.real_servers if known else ()
    behind = {each.endpoint: each for each in kept}
    steps = ((each, True) for each in (*change.coming, *change.changing)), ((each, False) for each in change.going)
    yield msgspec.structs.replace(change.server, real_servers=tuple(behind.values()))
    for each, stays in (pair for pairs in steps for pair in pairs):
        behind[each.endpoint] = each
        if not stays:
            del behind[each.endpoint]
        yield msgspec.structs.replace(change.server, real_servers=tuple(behind.values()))


def outcome(known, changes):
    """All virtual servers after the changes."""
    result = dict(known)
    for change in changes.servers:
        *_, last = moments(known.get(change.server.key), change)
        result[change.server.key] = last
    return {key: each for key, each in result.items() if each}


def alike(one, other):
    """The same virtual server, in whatever order its real servers are."""
    fields = ("key", "scheduler", "flags", "persistence_seconds", "ours")
    return all(getattr(one, name) == getattr(other, name) for name in fields) and {*one.real_servers} == {
        *other.real_servers
    }


@pytest.mark.parametrize(
    ("known", "desired", "expected"),
    [
        ((), (server(WEB, A, B),), [("CREATE", (A, B), (), ())]),
        ((server(WEB, A),), (), [("DELETE", (), (), ())]),
        ((server(WEB, A),), (server(WEB, A),), []),
        ((server(WEB, A, B),), (server(WEB, B, A),), []),
        ((server(WEB, A),), (server(WEB, B),), [("KEEP", (B,), (), (A,))]),
        ((server(WEB, A, B),), (server(WEB, idle(A), B, C),), [("KEEP", (C,), (idle(A),), ())]),
        ((server(WEB, idle(B), A),), (server(WEB, idle(A), B),), [("KEEP", (), (B, idle(A)), ())]),
        ((server(WEB, A),), (server(WEB, A, scheduler=Scheduler.MH),), [("SET", (), (), ())]),
        ((server(WEB, A),), (server(WEB, A, flags=frozenset({SchedulerFlag.FLAG_1})),), [("SET", (), (), ())]),
        ((server(WEB, A),), (server(WEB, A, persistence_seconds=60),), [("SET", (), (), ())]),
        ((server(MARK, A, B),), (server(MARK, A, forwarding=Forwarding.TUNNEL),), [("KEEP", (), (A,), (B,))]),
        ((server(MARK),), (server(MARK, forwarding=Forwarding.TUNNEL),), []),
        ((server(WEB), server(DNS, A)), (server(DNS, B),), [("KEEP", (B,), (), (A,)), ("DELETE", (), (), ())]),
    ],
)
def test_a_virtual_server_that_stays_changes_in_place(known, desired, expected):
    found = changes(by_key(*known), by_key(*desired))
    assert [(each.step.name, each.coming, each.changing, each.going) for each in found.servers] == expected


def test_what_others_made_is_left_alone():
    foreign = by_key(server(WEB, A, ours=False))
    assert not changes(foreign, {})
    assert not changes(foreign, {}, touched={WEB})


def test_a_desired_key_that_others_made_becomes_ours_in_place():
    (change,) = changes(by_key(server(WEB, A, ours=False)), by_key(server(WEB, A))).servers
    assert change == ServerChange(server=server(WEB, A), step=Step.SET)


def test_only_what_is_touched_is_compared():
    known, desired = by_key(server(WEB, A), server(DNS, A)), by_key(server(WEB, B))
    assert [each.server.key for each in changes(known, desired, touched=(DNS,)).servers] == [DNS]
    assert not changes(known, desired, touched=(MARK,))


@given(known=servers(), desired=servers())
def test_applying_the_changes_gives_what_is_desired(known, desired):
    result = outcome(known, changes(known, desired))
    assert result.keys() == desired.keys()
    assert all(alike(each, desired[key]) for key, each in result.items())
    assert not changes(desired, desired)


@given(known=servers(), desired=servers(), foreign=st.frozensets(st.sampled_from(KEYS)))
def test_what_others_made_is_there_afterwards(known, desired, foreign):
    known = {key: msgspec.structs.replace(each, ours=key not in foreign) for key, each in known.items()}
    result = outcome(known, changes(known, desired))
    assert result.keys() == desired.keys() | {key for key, each in known.items() if not each.ours}
    assert all(each.ours for key, each in result.items() if key in desired)


@given(known=servers(), desired=servers())
def test_naming_what_differs_gives_the_same_changes(known, desired):
    differing = [key for key in KEYS if known.get(key) != desired.get(key)]
    found = changes(known, desired, touched=differing).servers
    assert sorted(found, key=lambda each: KEYS.index(each.server.key)) == sorted(
        changes(known, desired).servers, key=lambda each: KEYS.index(each.server.key)
    )


@given(known=servers(), desired=servers(), taking=st.booleans())
def test_a_virtual_server_never_lacks_a_real_server_on_its_way(known, desired, taking):
    """With `taking`, one that takes new connections."""

    def has_some(each):
        return any(real.weight or not taking for real in each.real_servers)

    for change in changes(known, desired).servers:
        old, new = known.get(change.server.key), desired.get(change.server.key)
        if old and new and has_some(old) and has_some(new):
            assert all(has_some(each) for each in moments(old, change))


@given(known=servers(), desired=servers())
def test_deletions_are_last(known, desired):
    steps = [each.step is Step.DELETE for each in changes(known, desired).servers]
    assert steps == sorted(steps)
