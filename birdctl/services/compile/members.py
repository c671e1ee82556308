"""A set whose members come from many sides, and whose frozen form stays the same object until it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Members(Generic[T]):
    """A member is in it as long as more sides gave it than took it back."""

    def __init__(self) -> None:
        self._counts: dict[T, int] = {}
        self._frozen: frozenset[T] = frozenset()
        self._changed = False

    def add(self, member: T, by: int = 1) -> None:
        before = self._counts.get(member, 0)
        self._counts[member] = before + by
        if not before + by:
            del self._counts[member]
        self._changed |= not before or not before + by

    def replace(self, before: Iterable[T], after: Iterable[T]) -> None:
        for member in after:
            self.add(member)
        for member in before:
            self.add(member, -1)

    def frozen(self) -> frozenset[T]:
        if self._changed:
            found = frozenset(self._counts)
            self._frozen = self._frozen if found == self._frozen else found
            self._changed = False
        return self._frozen
