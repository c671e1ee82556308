"""How long to wait before the next try."""

from __future__ import annotations

import random

_JITTER = 0.2


class Backoff:
    """Doubles from `first` to `longest` seconds, give or take a fifth, until `reset`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def next(self) -> float:
        """Seconds to wait now."""
        wait, self._next = self._next, min(self._next * 2, self._longest)
        return wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, hides nothing
