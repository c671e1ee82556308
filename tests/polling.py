"""Waiting in tests: ask until it is so, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 20.0, *, pause: float = 0.01) -> T:
    """The first true value of `predicate`; fails the test when there is none within `timeout` seconds.

    The default is less than the thirty seconds after which an agent looks, or gives up, unasked.
    An AssertionError of the predicate counts as "not yet", and is the message in the end.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            reason: object = ""
            if value := predicate():
                return value
        except AssertionError as error:
            reason = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout:g} s: {reason or predicate}")
        time.sleep(pause)
