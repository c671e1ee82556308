"""How long an endpoint's change took, by what its slice says."""

from __future__ import annotations

import msgspec
import pytest

from birdctl.cluster.events import Changed, Deleted
from birdctl.cluster.objects import EndpointSlice
from birdctl.cluster.store import Cluster
from birdctl.reconcile.triggers import ANNOTATION, Triggers


def changed(moment: str | None, name: str = "web-1", port: int = 80) -> EndpointSlice:
    document = {
        "metadata": {"name": name, "namespace": "default", "annotations": {ANNOTATION: moment} if moment else {}},
        "ports": [{"port": port}],
    }
    return msgspec.convert(document, EndpointSlice)


class Watched:
    """A cluster with one slice that was there before."""

    def __init__(self) -> None:
        self.cluster = Cluster.of(changed("1970-01-01T00:00:01Z"))
        self.triggers = Triggers()
        self.take(first=True)

    def take(self, *, first: bool = False) -> None:
        self.triggers.take(self.cluster, self.cluster.take_dirty(), first=first)

    def seconds(self, *events: Changed | Deleted, now: float = 100.0) -> list[float]:
        for event in events:
            self.cluster.apply(event)
        self.take()
        return list(self.triggers.programmed(now))


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("1970-01-01T00:01:30Z", [10.0]),
        ("1970-01-01T00:01:39.5Z", [0.5]),
        ("1970-01-01T00:01:39.250000001Z", [0.75]),
        ("1970-01-01T00:02:00Z", [0.0]),
        ("yesterday", []),
        (None, []),
    ],
    ids=["a second's precision", "parts of one", "nanoseconds", "a clock ahead of ours", "no time", "no annotation"],
)
def test_a_change_is_measured_from_the_moment_on_its_slice(moment: str | None, seconds: list[float]) -> None:
    assert Watched().seconds(Changed(changed(moment))) == seconds


def test_what_was_there_before_is_nobody_s_delay() -> None:
    assert Watched().seconds() == []


def test_a_change_without_a_new_moment_is_not_measured() -> None:
    assert Watched().seconds(Changed(changed("1970-01-01T00:00:01Z", port=81))) == []


def test_every_change_is_measured_once() -> None:
    watched = Watched()
    event = Changed(changed("1970-01-01T00:01:30Z"))
    assert watched.seconds(event) == [10.0]
    assert watched.seconds(event) == []


def test_a_slice_that_was_deleted_and_made_again_is_measured_again() -> None:
    watched = Watched()
    assert watched.seconds(Deleted(EndpointSlice, "default/web-1")) == []
    assert watched.seconds(Changed(changed("1970-01-01T00:01:30Z"))) == [10.0]
