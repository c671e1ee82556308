"""What a change does to sessions and prefixes, from two texts. That BIRD agrees is tested in tests/bird."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from birdctl.routing.impact import Effect, impact
from birdctl.routing.model import Bfd, Timers
from birdctl.routing.render import render
from birdctl.secret import Secret
from tests.changes import CHANGES, Change, services, subject, two_classes
from tests.configs import with_channel, with_session

VERSION = (2, 17, 5)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_change_has_the_effect_of_its_row(change: Change) -> None:
    start = change.start(subject(VERSION))
    after = change.after(start)
    names = {each.name for each in (*start.sessions, *after.sessions)}
    found = impact(render(start).text, render(after).text, VERSION)
    assert {each.protocol: each.effect for each in found.sessions} == {
        **dict.fromkeys(names, Effect.NOTHING),
        **change.effects,
    }


def test_causes_say_what_changed_from_what_to_what() -> None:
    start = subject(VERSION)
    after = with_session(start, timers=Timers(hold=9, keepalive=3), multihop=None)
    causes = impact(render(start).text, render(after).text, VERSION).sessions[0].causes
    assert causes == (
        "multihop 64 removed",
        "hold time 90 -> 9",
        "keepalive time 30 -> 3",
        "direct added",
    )


@pytest.mark.parametrize(
    ("options", "causes"),
    [
        ({"local_asn": 64999}, ("local as 64512 -> 64999",)),
        ({"remote_asn": 64999}, ("neighbor as 64512 -> 64999",)),
        ({"port": 1790}, ("neighbor port 179 -> 1790",)),
        ({"address": ip_address("10.0.0.7")}, ("neighbor 10.0.0.2 -> 10.0.0.7",)),
        ({"local_address": None}, ("local 10.0.0.1 removed",)),
        ({"bfd": Bfd()}, ("bfd added",)),
        ({"passive": True}, ("passive off -> on",)),
    ],
)
def test_a_cause_leaves_out_what_stays_so_that_like_sessions_share_it(
    options: dict[str, Any], causes: tuple[str, ...]
) -> None:
    start = subject(VERSION)
    assert impact(render(start).text, render(with_session(start, **options)).text, VERSION).sessions[0].causes == causes


@pytest.mark.parametrize(("old", "new", "cause"), [("", "b", "added"), ("a", "b", "changed"), ("a", "", "removed")])
def test_passwords_are_compared_and_never_shown(old: str, new: str, cause: str) -> None:
    texts = [
        render(with_session(subject(VERSION), password=Secret(f"hidden-{each}") if each else None)).text
        for each in (old, new)
    ]
    found = impact(*texts, VERSION)
    assert f"password {cause}" in found.sessions[0].causes
    assert "hidden" not in repr(found)


def test_a_reload_names_the_filter_that_changed() -> None:
    change = next(each for each in CHANGES if each.name == "content of an import filter")
    start = subject(VERSION)
    found = impact(render(start).text, render(change.after(start)).text, VERSION)
    assert found.sessions[1].causes == ("ipv4 filter tor1_in4",)


def test_bird_before_2_17_takes_a_new_next_hop_with_the_next_restart_only() -> None:
    start = subject((2, 0, 12))
    texts = (render(start).text, render(with_channel(start, next_hop_address=ip_address("10.0.0.99"))).text)
    assert impact(*texts, (2, 0, 12)).sessions[0].effect is Effect.RELOAD_OUT
    assert impact(*texts, (2, 17, 5)).sessions[0].effect is Effect.RESTART


def test_bird_3_restarts_a_session_to_keep_what_it_rejects() -> None:
    start = subject((3, 1, 7))
    texts = (render(start).text, render(with_channel(start, keep_filtered=True)).text)
    assert impact(*texts, (2, 17, 5)).sessions[0].effect is Effect.NOTHING
    assert impact(*texts, (3, 1, 7)).sessions[0].effect is Effect.RESTART


def test_an_unknown_running_configuration_makes_everything_new() -> None:
    found = impact(None, render(subject(VERSION)).text, VERSION)
    assert not found.known
    assert found.summary == {Effect.NEW: 2}
    assert len(found.added) == 7
    assert found.interrupted == frozenset()


def test_prefixes_are_told_by_what_becomes_of_them() -> None:
    start = two_classes(subject(VERSION))
    after = services("services_web4", 1, 2, 4)(services("services_db4", 5, 6)(start))
    found = impact(render(start).text, render(after).text, VERSION)
    assert [(str(each.prefix), each.protocol) for each in found.added] == [("10.96.0.6/32", "services_db4")]
    assert [str(each.prefix) for each in found.withdrawn] == ["10.96.0.3/32", "10.96.0.9/32"]
    assert [(str(each.prefix), each.protocol) for each in found.moved] == [("10.96.0.5/32", "services_db4")]


def test_sessions_that_go_down_are_those_restarted_or_removed() -> None:
    start = subject(VERSION)
    after = with_session(replace(start, sessions=start.sessions[:1]), passive=True)
    found = impact(render(start).text, render(after).text, VERSION)
    assert found.interrupted == {"node_n2", "peer_tor1"}
    assert found.summary == {Effect.RESTART: 1, Effect.REMOVED: 1}


def test_the_kernels_protocols_are_told_apart_from_sessions() -> None:
    start = subject(VERSION)
    found = impact(render(start).text, render(replace(start, kernel_table=77)).text, VERSION)
    assert [(each.protocol, each.effect, each.causes) for each in found.others] == [
        ("kernel4", Effect.RESTART, ("kernel table 254 -> 77",)),
        ("kernel6", Effect.RESTART, ("kernel table 254 -> 77",)),
    ]


def test_a_text_with_a_brace_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="braces"):
        impact("protocol bgp a { ipv4 { }; }", "protocol bgp a { ipv4 { };", VERSION)


@given(st.sampled_from(CHANGES), st.sampled_from(CHANGES))
def test_there_and_back_again_meets_the_same_sessions(one: Change, other: Change) -> None:
    first, second = (render(each.after(each.start(subject(VERSION)))).text for each in (one, other))
    there, back = impact(first, second, VERSION), impact(second, first, VERSION)
    swapped = {Effect.NEW: Effect.REMOVED, Effect.REMOVED: Effect.NEW}
    assert {each.protocol: swapped.get(each.effect, each.effect) for each in there.sessions} == {
        each.protocol: each.effect for each in back.sessions
    }
    assert there.added == back.withdrawn
    assert impact(first, first, VERSION).summary.keys() <= {Effect.NOTHING}
