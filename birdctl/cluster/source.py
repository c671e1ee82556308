"""What every source of cluster objects offers, be it a folder of manifests or an API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from birdctl.cluster.events import Event
from birdctl.cluster.objects import Object

Emit = Callable[[Event], None]


class Source(Protocol):
    """Emits what the cluster says from threads of its own, from `start` until `stop`.

    A source that cannot be reached emits nothing, so everything stays as it last was.
    """

    @property
    def kind(self) -> str:
        """`manifests` or `apiserver`."""

    @property
    def types(self) -> tuple[type[Object], ...]:
        """The kinds it emits."""

    @property
    def healthy(self) -> bool:
        """Whether it is in contact with what it reads."""

    @property
    def error(self) -> str:
        """Why it is not healthy; empty when it is."""

    def start(self, emit: Emit) -> None:
        """Returns at once; `emit` is called from other threads and must not block."""

    def refresh(self) -> None:
        """Blocks until everything written to the source before the call has been emitted. Raises Unavailable."""

    def stop(self) -> None:
        """Ends every thread; nothing is emitted afterwards."""
