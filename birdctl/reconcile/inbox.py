"""The one way into the loop: any thread posts, the loop's thread takes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from queue import SimpleQueue
from typing import Any, Literal

import msgspec

from birdctl.cluster.events import Event
from birdctl.cluster.objects import Object


class Arrived(msgspec.Struct, frozen=True):
    """A change of the cluster; `at` monotonic."""

    event: Event
    at: float


class Request(msgspec.Struct, frozen=True):
    """Somebody on the control socket waits for `reply` until a monotonic time."""

    what: Literal["sync", "plan"]
    until: float
    reply: SimpleQueue[Mapping[str, Any]] = msgspec.field(default_factory=SimpleQueue)


class Call(msgspec.Struct, frozen=True):
    """Something to do in the loop's thread."""

    function: Callable[[], None]


Message = Arrived | Request | Call


class Inbox:
    """Messages in the order of posting. Readable (`fileno`) while it holds any, so that the loop can select on it.

    Of the source's events it takes those of its `types`, and of texts that are no object of any kind.
    """

    def __init__(self, types: Collection[type[Object]] = ()) -> None:
        self.types = tuple(types)
        self._messages: deque[Message] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._wake

    def post(self, message: Message) -> None:
        """Takes no lock: also for signal handlers."""
        self._messages.append(message)
        self.wake()

    def wake(self) -> None:
        """Makes it readable once, with or without a message."""
        os.eventfd_write(self._wake, 1)

    def emit(self, event: Event) -> None:
        """Where a source sends its events."""
        if event.type in self.types or event.type is Object:
            self.post(Arrived(event, time.monotonic()))

    def take(self) -> list[Message]:
        """Everything posted so far."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        return [self._messages.popleft() for _ in range(len(self._messages))]
