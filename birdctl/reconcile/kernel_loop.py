"""The loop of a domain that is in the kernel: it knows what it wrote there, and once in a while reads it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from birdctl.cluster.store import Cluster
from birdctl.observe.counters import Passes
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.loop import Loop, P
from birdctl.settings import Settings

REFUSED_SECONDS = (5.0, 300.0)
"""How long until the kernel is asked again for what it refused."""


class Reconciler(Protocol):
    """Makes the passes."""

    def adopt(self, settings: Settings) -> None: ...

    def forget(self) -> None: ...


R = TypeVar("R", bound=Reconciler)


class KernelLoop(Loop[P], Generic[P, R]):
    """Reads back at `_verify_at` (monotonic): at first, after a failure, for the resync, and to try again."""

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        passes: Passes,
        state: P,
        after_turn: Callable[[], None],
        *,
        reconciler: Callable[[Settings, Cluster], R],
    ) -> None:
        super().__init__(settings, inbox, passes, state, after_turn)
        self._reconciler = reconciler(settings, self._cluster)
        self._refused = Backoff(*REFUSED_SECONDS)
        self._verify_at = 0.0

    def _forget(self) -> None:
        self._reconciler.forget()
        self._verify_at = 0.0

    def _adopt(self, settings: Settings) -> None:
        super()._adopt(settings)
        self._reconciler.adopt(settings)
        self._verify_at = 0.0

    @property
    def _resync_period(self) -> float:
        return max(0.0, self._verify_at - time.monotonic())

    def _verify_after(self, period: float, started: float, *, verified: bool, refused: bool) -> None:
        """Sets when to read back next, after a pass that `started` then."""
        if verified:
            self._verify_at = started + period
        if refused:
            self._verify_at = started + self._refused.next()
        else:
            self._refused.reset()
