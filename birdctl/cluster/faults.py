"""Collecting what is wrong with one object, field by field, so that one look finds all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from birdctl.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


class Faults:
    """The faults of `origin`; true when there are any."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._found: list[InputError] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[InputError]:
        return iter(self._found)

    def add(self, field: str, problem: str) -> None:
        self._found.append(InputError(self.origin, field, problem))

    def read(self, field: str, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `parse` returns; its ValueError becomes a fault of `field`, and the value None."""
        try:
            return parse(*args, **kwargs)
        except ValueError as error:
            self.add(field, str(error))
            return None
