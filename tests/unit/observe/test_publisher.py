"""When a state is written to the API server, and what becomes of one that cannot be."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from birdctl.errors import Unavailable
from birdctl.observe.publisher import Publisher
from birdctl.observe.state import State
from tests.unit.observe.states import state


class Failing:
    """An API server that fails with each of these in turn."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)

    def request(self, *_: object, **__: object) -> bytes:
        raise self._failures.pop(0)


class Taking:
    """An API server that takes everything; `taken` is the status of each write."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []

    def request(self, _method: str, path: str, body: Any = None, *_: object, **__: object) -> bytes:
        if path.endswith("/status"):
            self.taken.append(body["status"])
        return b"{}"


@pytest.mark.parametrize(("failure", "traceback"), [(Unavailable("away"), False), (KeyError("items"), True)])
def test_what_fails_is_told_once_and_tried_again(
    failure: Exception, traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(Failing(failure, failure), "a")  # type: ignore[arg-type]
    publisher.offer(State(node="a"))
    for _ in range(2):
        publisher._news.clear()
        publisher._try_to_write()
        assert publisher._news.is_set()
    (record,) = (each for each in caplog.records if each.levelno == logging.WARNING)
    assert bool(record.exc_info) is traceback


def test_counts_are_written_once_soon_after_another_change_and_then_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Taking()
    publisher = Publisher(server, "a")  # type: ignore[arg-type]

    def written(seconds: float, **of: Any) -> bool:
        """Whether the state of that moment is worth a write."""
        before = len(server.taken)
        monkeypatch.setattr("time.monotonic", lambda: seconds)
        publisher.offer(state(**of))
        publisher._try_to_write()
        return len(server.taken) > before

    assert written(100, received=0)
    assert written(110, received=1)
    assert not written(120, received=2)
    assert not written(169, received=2)
    assert written(170, received=2)
    assert written(180, received=2, tor="Established")
    assert not written(190, received=2, tor="Established")
    assert written(200, received=3, tor="Established")
