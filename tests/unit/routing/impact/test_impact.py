"""What a change does to sessions and prefixes, from two texts. That BIRD agrees is tested in tests/bird."""

from __future__ import annotations

import pytest

from birdctl.routing.impact import Effect, impact
from birdctl.routing.render import render
from tests.changes import CHANGES, Change, subject

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
