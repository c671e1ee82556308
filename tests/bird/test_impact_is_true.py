"""What `impact` predicts is what BIRD does: every change is made on running BIRDs with Established sessions."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from birdctl.routing.impact import Effect, SessionImpact, impact
from birdctl.routing.model import BirdConfig
from birdctl.routing.render import render
from tests.birds import BirdProgram
from tests.changes import CHANGES, Change, neighbour, subject
from tests.polling import eventually
from tests.routers import Router, routers

RELOADS = (Effect.RELOAD_IN, Effect.RELOAD_OUT, Effect.RELOAD)
ADJUSTED = 0.1
OTHERS = ("Kernel", "Pipe", "Direct", "Device", "BFD")


@dataclass(frozen=True)
class Session:
    """What tells a restart from a reload: since when it is so, and how many routes went in and out until now."""

    since: float
    received: int
    sent: int


@pytest.fixture(scope="module")
def pair(bird_version: BirdProgram) -> Iterator[list[Router]]:
    """The subject, not started, and its neighbour."""
    with routers(bird_version, bird_version) as (one, two):
        one.connect("eth0", two, "eth0")
        one.address("eth0", "10.0.0.1/24", "10.0.0.101/24", "fd00::1/64")
        two.address("eth0", "10.0.0.2/24", "10.0.0.102/24", "fd00::2/64")
        two.start(render(neighbour(bird_version.version)).text)
        yield [one, two]


def sessions(router: Router) -> dict[str, Session]:
    """All sessions, from `show protocols all`."""
    found = {}
    for block in re.split(r"\n(?=\S)", router.lines("show protocols all")):
        heading, _, body = block.partition("\n")
        words = heading.split()
        if len(words) > 5 and words[1] == "BGP":
            found[words[0]] = Session(_since(words), _count("Import", body), _count("Export", body))
    return found


def _count(direction: str, text: str) -> int:
    return sum(int(number) for number in re.findall(rf"{direction} updates: +(\d+)", text))


def quiet(router: Router, neighbour: Router) -> dict[str, Session]:
    """The sessions, once nothing has happened to them for a while.

    The neighbour is kept awake: BIRD 2.0.12 answers a route refresh only when something else stirs it.
    """
    last, since = sessions(router), time.monotonic()

    def unchanged() -> bool:
        nonlocal last, since
        neighbour.ask("show status")
        if _stirred(last, now := sessions(router)):
            since = time.monotonic()
        last = now
        return time.monotonic() - since > 0.3

    eventually(unchanged)
    return last


def _since(words: list[str]) -> float:
    """Of a line of `show protocols`, in seconds since the epoch."""
    return datetime.fromisoformat(" ".join(words[4:6])).timestamp()


def _differ(one: float | None, two: float | None) -> bool:
    """BIRD works the time of day out anew whenever it prints it: it follows the machine's clock as that is adjusted."""
    return one is None or two is None or abs(one - two) > ADJUSTED


def _stirred(before: dict[str, Session], after: dict[str, Session]) -> bool:
    return before.keys() != after.keys() or any(
        _differ(before[name].since, each.since)
        or (before[name].received, before[name].sent) != (each.received, each.sent)
        for name, each in after.items()
    )


def others(router: Router) -> dict[str, float]:
    """Since when the protocols that are neither BGP nor prefixes are as they are."""
    lines = [line.split() for line in router.lines("show protocols").splitlines()]
    return {words[0]: _since(words) for words in lines if len(words) > 5 and words[1] in OTHERS}


def observed(before: dict[str, Session], after: dict[str, Session], prefixes: int) -> dict[str, Effect]:
    """What happened to each session.

    Routes sent beyond `prefixes`, originated anew, and those that came in again are a reload.
    """
    again = sum(after[name].received - before[name].received for name in before.keys() & after.keys())
    allowed = prefixes + max(again, 0)
    return {name: _observed(before.get(name), after.get(name), allowed) for name in before | after}


def _observed(before: Session | None, after: Session | None, allowed: int) -> Effect:
    if before is None or after is None:
        return Effect.NEW if after else Effect.REMOVED
    if _differ(before.since, after.since):
        return Effect.RESTART
    received, sent = after.received > before.received, after.sent > before.sent + allowed
    if received and sent:
        return Effect.RELOAD
    return Effect.RELOAD_IN if received else Effect.RELOAD_OUT if sent else Effect.NOTHING


def effects(impacts: Iterable[SessionImpact]) -> dict[str, Effect]:
    return {each.protocol: each.effect for each in impacts}


def text(config: BirdConfig) -> str:
    """As birdctl writes it, but with times precise enough to see every restart."""
    return render(config).text.replace("timeformat protocol iso long;", "timeformat protocol iso long ms;")


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_bird_does_what_was_predicted(pair: list[Router], change: Change) -> None:
    """On a busy machine a session is sometimes stirred by something else: the prediction has three tries."""
    start = change.start(subject(pair[0].bird.version))
    old, new = text(start), text(change.after(start))
    names = tuple(each.name for each in start.sessions)
    predicted = impact(old, new, pair[0].bird.version)
    expected = (
        effects(predicted.sessions),
        {name for name, effect in effects(predicted.others).items() if effect not in RELOADS},
    )
    for _ in range(3):
        found = change_of(pair, old, new, len(predicted.added) + len(predicted.moved), names)
        if found == expected:
            break
    assert found == expected


def change_of(
    pair: list[Router], old: str, new: str, prefixes: int, established: tuple[str, ...]
) -> tuple[dict[str, Effect], set[str]]:
    """What happens to each session, and which other protocols restart, when BIRD goes from `old` to `new`."""
    one, two = pair
    one.kill()
    one.start(old)
    eventually(lambda: one.established(*established))
    before, others_before = quiet(one, two), others(one)
    one.configure(new)
    after, others_after = quiet(one, two), others(one)
    touched = {
        name for name in others_before | others_after if _differ(others_before.get(name), others_after.get(name))
    }
    return observed(before, after, prefixes), touched


@pytest.mark.parametrize("name", ["prefix moved", "class of prefixes renamed"])
def test_a_prefix_that_changes_its_protocol_stays_announced(pair: list[Router], name: str) -> None:
    one, two = pair
    change = next(each for each in CHANGES if each.name == name)
    start = change.start(subject(one.bird.version))
    one.kill()
    one.start(text(start))
    eventually(lambda: one.established("node_n2", "peer_tor1"))
    quiet(one, two)
    announced = set(re.findall(r"10\.96\.0\.\d+/32", two.lines("show route protocol peer_n1")))
    one.configure(text(change.after(start)))
    quiet(one, two)
    remaining = set(re.findall(r"10\.96\.0\.\d+/32", two.lines("show route protocol peer_n1")))
    assert announced - remaining == {
        str(each.prefix) for each in impact(text(start), text(change.after(start)), ()).withdrawn
    }
