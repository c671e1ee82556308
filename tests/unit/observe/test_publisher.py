"""What becomes of a state that cannot be written to the API server."""

from __future__ import annotations

import logging

import pytest

from birdctl.errors import Unavailable
from birdctl.observe.publisher import Publisher
from birdctl.observe.state import State


class Server:
    """An API server that fails with each of these in turn."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)

    def request(self, *_: object, **__: object) -> bytes:
        raise self._failures.pop(0)


@pytest.mark.parametrize(("failure", "traceback"), [(Unavailable("away"), False), (KeyError("items"), True)])
def test_what_fails_is_told_once_and_tried_again(
    failure: Exception, traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(Server(failure, failure), "a")  # type: ignore[arg-type]
    publisher.offer(State(node="a"))
    for _ in range(2):
        publisher._news.clear()
        publisher._try_to_write()
        assert publisher._news.is_set()
    (record,) = (each for each in caplog.records if each.levelno == logging.WARNING)
    assert bool(record.exc_info) is traceback
