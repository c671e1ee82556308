"""Who leads, with one Lease and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from birdctl.cluster.lease import Lease, LeaseSpec
from birdctl.cluster.objects import ObjectMeta
from birdctl.errors import ApiRefused, Unavailable
from birdctl.reconcile.election import DURATION_SECONDS, RENEW_SECONDS, SAFETY_SECONDS, Election


class Leases:
    """An API server's Lease: every write has to know the version before it."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.away = False
        self.forbidden = False
        self.meanwhile: Callable[[], object] | None = None

    def read(self) -> Lease | None:
        if self.away:
            raise Unavailable("away")
        return self.lease

    def write(self, before: Lease | None, holder: str, duration: float, intents: Any) -> Lease:  # noqa: ARG002
        if self.away:
            raise Unavailable("away")
        if self.forbidden:
            raise ApiRefused(403, "leases are forbidden")
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        if before is not self.lease:
            raise ApiRefused(409, "the object has been modified")
        version = str(int(self.lease.metadata.resource_version) + 1) if self.lease else "1"
        annotations = {"birdctl.io/intents": msgspec.json.encode(intents).decode()}
        metadata = ObjectMeta(name="l", resource_version=version, annotations=annotations)
        self.lease = Lease(metadata=metadata, spec=LeaseSpec(holder_identity=holder))
        return self.lease


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.leases = Leases()
        self.one, self.other = (Election(self.leases, name, self.clock) for name in ("one", "other"))  # type: ignore[arg-type]

    def clock(self) -> float:
        return self.now

    def leaders(self) -> list[str]:
        return [name for name, each in (("one", self.one), ("other", self.other)) if each.leads]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.one.step()
    scene.other.step()
    return scene


def test_the_first_one_leads(scene: Scene) -> None:
    assert scene.leaders() == ["one"]
    assert scene.other.holder.startswith("one_")


def test_who_renews_goes_on_leading(scene: Scene) -> None:
    for _ in range(10):
        scene.now += RENEW_SECONDS
        scene.one.step()
        scene.other.step()
        assert scene.leaders() == ["one"]
    assert scene.one.terms == 1


def test_who_cannot_renew_stops_leading_before_another_one_begins(scene: Scene) -> None:
    began = scene.now
    while not scene.other.leads:
        scene.now += 1
        scene.other.step()
        assert len(scene.leaders()) <= 1
        assert scene.one.leads is (scene.now - began < DURATION_SECONDS - SAFETY_SECONDS)
    assert scene.now - began > DURATION_SECONDS


def test_a_leader_that_was_away_finds_its_successor(scene: Scene) -> None:
    scene.now += DURATION_SECONDS + 1
    scene.other.step()
    assert scene.leaders() == ["other"]
    assert scene.one.record({}) is False
    scene.one.step()
    assert scene.leaders() == ["other"]


def test_the_version_of_the_lease_decides_between_two_that_take_it_at_once(scene: Scene) -> None:
    scene.now += DURATION_SECONDS + 1
    scene.leases.meanwhile = lambda: scene.leases.write(scene.leases.lease, "third", DURATION_SECONDS, None)
    scene.other.step()
    assert scene.leaders() == []
    scene.other.step()
    assert scene.other.holder == "third"


def test_a_lease_that_may_not_be_written_is_an_error(scene: Scene) -> None:
    scene.leases.forbidden = True
    scene.now += DURATION_SECONDS + 1
    with pytest.raises(ApiRefused, match="forbidden"):
        scene.other.step()
    assert scene.leaders() == []


def test_the_next_step_is_due_in_time_to_renew(scene: Scene) -> None:
    assert scene.one.next_step == scene.now + RENEW_SECONDS


def test_a_successor_has_what_was_recorded_last(scene: Scene) -> None:
    assert scene.one.record({"default/web": 1})
    scene.other.step()
    scene.now += DURATION_SECONDS + 1
    scene.other.step()
    assert scene.other.leads
    assert scene.other.intents == {"default/web": 1}


def test_who_resigns_is_followed_at_once(scene: Scene) -> None:
    scene.one.resign()
    assert scene.leaders() == []
    scene.other.step()
    assert scene.leaders() == ["other"]


def test_without_an_api_server_nobody_begins_to_lead(scene: Scene) -> None:
    scene.leases.away = True
    scene.now += DURATION_SECONDS + 1
    with pytest.raises(Unavailable):
        scene.other.step()
    assert scene.leaders() == []
    scene.leases.away = False
    scene.now += RENEW_SECONDS
    scene.other.step()
    assert scene.leaders() == ["other"]


def test_a_successor_waits_for_a_change_by_its_own_clock(scene: Scene) -> None:
    """However wrong the holder's clock is."""
    scene.now += DURATION_SECONDS - 1
    scene.one.step()
    scene.other.step()
    scene.now += DURATION_SECONDS - 1
    scene.other.step()
    assert not scene.other.leads
