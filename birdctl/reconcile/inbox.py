"""The one way into the loop: any thread posts, the loop's thread takes."""

from __future__ import annotations

import os
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Messages in the order of posting. Readable (`fileno`) while it holds any, so that the loop can select on it."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._wake

    def post(self, item: T) -> None:
        self._items.append(item)
        os.eventfd_write(self._wake, 1)

    def take(self) -> list[T]:
        """Everything posted so far."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        return [self._items.popleft() for _ in range(len(self._items))]
