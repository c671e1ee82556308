"""Problems that mostly pass by themselves, and are told only when they last. Knows no clock."""

from __future__ import annotations

import math
from collections.abc import Iterable

from birdctl.errors import InputError

PATIENCE = 30.0
"""Seconds until something is told."""


class Lasting:
    """Remembers since when each problem is there."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self.recheck_at = math.inf
        """When the next one will have lasted."""

    def without_new(
        self, problems: Iterable[InputError], passing: Iterable[InputError], now: float
    ) -> tuple[InputError, ...]:
        """`problems` but for those that are `passing`, too, and have not lasted."""
        self._until = {text: self._until.get(text, now + PATIENCE) for text in map(str, passing)}
        waiting = {text: until for text, until in self._until.items() if until > now}
        self.recheck_at = min(waiting.values(), default=math.inf)
        return tuple(each for each in problems if str(each) not in waiting)
