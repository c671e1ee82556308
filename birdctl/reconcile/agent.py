"""The agent's loop: one thread that owns the cluster and the passes; everything else posts to its inbox.

    sources, signals, control socket ──> inbox ─┐
    BIRD's end of the connection, timers ───────┴─> turn: take in → look at BIRD → pass when due → answer

A pass is due at a time, `_due`: at once after a change, later after a failure (back-off) or for the resync, never
while the source's first complete list or BIRD is missing.
"""

from __future__ import annotations

import logging
import math
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any, Literal

from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.events import Event
from birdctl.cluster.source import Source
from birdctl.cluster.store import Cluster
from birdctl.errors import BackendError, BirdctlError, Unavailable, UnsafePlan
from birdctl.observe.counters import Counters
from birdctl.observe.peers import peers
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.reconciler import Prepared, Reconciler
from birdctl.reconcile.state import Sight, State, document
from birdctl.reconcile.watch import BirdWatch, Look
from birdctl.routing.commit import BirdBackend
from birdctl.routing.inventory import Inventory
from birdctl.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
ABSENT_LOOK_SECONDS = 0.05
SIGHT_SECONDS = 30.0
LINGER_SECONDS = 0.005
"""What changes together arrives together: a pass waits this long for the rest."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A change of the cluster; `at` monotonic."""

    event: Event
    at: float


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody on the control socket waits for `reply` until a monotonic time."""

    what: Literal["sync", "plan"]
    until: float
    reply: SimpleQueue[Mapping[str, Any]] = field(default_factory=SimpleQueue)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Settings that changed; everything is compiled afresh."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Stop:
    pass


Message = Arrived | Request | Adopt | Stop


class Agent:
    """Runs from `run()` until `stop()`; sessions and routes stay when it ends, however it ends.

    `on_pass` is called after every pass, from the loop's thread; it must not block.
    """

    def __init__(self, settings: Settings, source: Source, counters: Counters) -> None:
        self._settings = settings
        self._source = source
        self._counters = counters
        self._cluster = Cluster()
        self._reconciler = Reconciler(settings, self._cluster)
        self._watch = BirdWatch(settings.bird_socket)
        self._inbox: Inbox[Message] = Inbox()
        self._backoff = Backoff(1.0, 60.0)
        self._requests: list[Request] = []
        self._changed_at: float | None = None
        self._due = 0.0
        self._recheck = math.inf
        self._look_at = 0.0
        self._look: Look | None = None
        self._running = True
        self.on_state: Callable[[State], None] = lambda _: None
        self.state = State(node=settings.node, source=source.kind, patience=settings.commit_timeout + 30)

    # What other threads call.

    def emit(self, event: Event) -> None:
        self._inbox.post(Arrived(event, time.monotonic()))

    def adopt(self, settings: Settings) -> None:
        self._inbox.post(Adopt(settings))

    def stop(self) -> None:
        self._inbox.post(Stop())

    def sync(self, timeout: float) -> Mapping[str, Any]:
        """The status once everything written to the source before the call is applied and read back, or when `timeout`
        seconds are over."""
        self._source.refresh()
        return self._ask("sync", timeout)

    def plan(self, timeout: float) -> Mapping[str, Any]:
        """The plan of the moment. Raises what compiling it raises."""
        return self._ask("plan", timeout)

    def _ask(self, what: Literal["sync", "plan"], timeout: float) -> Mapping[str, Any]:
        request = Request(what, time.monotonic() + timeout)
        self._inbox.post(request)
        try:
            return request.reply.get(timeout=timeout + 1.0)
        except Empty:
            raise Unavailable("the agent is in the middle of a pass") from None

    # The loop.

    def run(self) -> None:
        while self._running:
            self._wait()
            self._take_in()
            if time.monotonic() >= self._look_at:
                self._look_at_bird()
            if self._can_pass and time.monotonic() >= min(self._due, self._recheck):
                self._pass()
            self._answer()
            self._note(heartbeat=time.monotonic(), source_error=self._source.error)
            self.on_state(self.state)
        self._watch.close()

    @property
    def _can_pass(self) -> bool:
        return self.state.synced and self._look is not None

    def _note(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _wait(self) -> None:
        deadlines = [self._look_at, *(each.until for each in self._requests)]
        if self._can_pass:
            deadlines += [self._due, self._recheck]
        pause = max(0.0, min(deadlines) - time.monotonic())
        connection = self._watch.connection
        readable, _, _ = select.select([self._inbox, *([connection] if connection else [])], [], [], pause)
        if connection in readable:
            self._look_at = 0.0  # closed by BIRD: nothing else is sent unasked

    def _take_in(self) -> None:
        arrivals = []
        for message in self._inbox.take():
            match message:
                case Arrived(event, at):
                    self._cluster.apply(event)
                    arrivals.append(at)
                case Request():
                    self._requests.append(message)
                    self._look_at = 0.0
                case Adopt(settings):
                    self._adopt(settings)
                case Stop():
                    self._running = False
        if self._reconciler.take_in():
            self._want_secrets()
            self._changed_at = self._changed_at or min(arrivals)
            self._due = min(self._due, time.monotonic() + LINGER_SECONDS)
            self._note(dirty=True)

        if not self.state.synced and self._cluster.synced(self._source.types):
            self._note(synced=True)

    def _want_secrets(self) -> None:
        """Secrets are read by name, and the names are in the peers."""
        if self._cluster.synced([BGPPeer]):
            references = (each.spec.password_secret for each in self._cluster.objects(BGPPeer).values())
            self._source.want_secrets({each.name for each in references if each})

    def _adopt(self, settings: Settings) -> None:
        self._settings = settings
        self._reconciler.adopt(settings)
        self._due = 0.0
        self._note(dirty=True)

    def _look_at_bird(self) -> None:
        before, look = self._look, self._watch.look()
        self._look = look
        self._look_at = time.monotonic() + (LOOK_SECONDS if look else ABSENT_LOOK_SECONDS)
        self._note(bird_error=self._watch.error, running=look.digest if look else None)
        if look is None:
            if before or not self.state.bird_error:
                log.warning("BIRD is gone: %s", self._watch.error)
            return
        if before is None:
            log.info("BIRD answers on %s", self._settings.bird_socket)
        if before is None or look.digest not in (before.digest, self.state.desired):
            self._start_over()
        self._see(before, look)

    def _start_over(self) -> None:
        """BIRD is new, or somebody else changed its configuration: everything afresh."""
        self._reconciler.forget()
        self._due = 0.0

    def _see(self, before: Look | None, look: Look) -> None:
        """Reads everything when sessions changed or are still coming up, and once in a while for the counts."""
        changed = before is None or before.established != look.established
        if changed and self.state.refused:
            self._due = 0.0  # a refusal protects sessions that are up
        sight = self.state.sight
        if changed or not self.state.ready or sight is None or time.monotonic() - sight.at > SIGHT_SECONDS:
            self._note(sight=see(self._reconciler.backend, self.state.inventory))

    def _pass(self) -> None:
        started = time.monotonic()
        try:
            self._reconcile(started)
        except BirdctlError as error:
            self._failed(error)
        except Exception as error:
            log.exception("a bug in this pass; everything stays as it is")
            self._failed(BackendError(f"bug: {type(error).__name__}"))
        self._look_at = 0.0

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        plan = prepared.plan
        self._note(dirty=False, desired=plan.desired, pending=plan.size, problems=tuple(map(str, plan.problems)))
        self._recheck = _monotonic(prepared.recheck_at)
        if plan.changes:
            log.info("%s", plan.summary())
        if plan.changes or self.state.last_sync is None:
            self._reconciler.carry_out(prepared)
        self._succeeded(prepared, time.monotonic() - started)

    def _succeeded(self, prepared: Prepared, seconds: float) -> None:
        now = time.monotonic()
        self._counters.passed("changed" if prepared.plan.changes else "unchanged", seconds)
        if self._changed_at is not None:
            self._counters.reacted(now - self._changed_at)
            self._changed_at = None
        self._backoff.reset()
        self._due = now + self._settings.resync_period
        self._note(
            running=prepared.plan.desired,
            pending=0,
            error="",
            refused=False,
            inventory=prepared.inventory,
            generation=self.state.generation + prepared.plan.changes,
            last_sync=time.time(),
            last_sync_seconds=round(seconds, 3),
        )

    def _failed(self, error: BirdctlError) -> None:
        """A refusal waits for a change; everything else is tried again."""
        refused = isinstance(error, UnsafePlan)
        self._counters.passed("refused" if refused else "failed", None)
        self._due = time.monotonic() + (self._settings.resync_period if refused else self._backoff.next())
        if str(error) != self.state.error:
            log.error("%s", error)
        if not refused:
            self._reconciler.forget()
        self._note(error=str(error), refused=refused)

    def _answer(self) -> None:
        now, waiting = time.monotonic(), []
        for request in self._requests:
            if request.what == "plan":
                request.reply.put(self._plan_document())
            elif self.state.converged or now >= request.until:
                request.reply.put(document(self.state))
            else:
                waiting.append(request)
        self._requests = waiting

    def _plan_document(self) -> Mapping[str, Any]:
        try:
            return self._reconciler.prepare().plan.document()
        except BirdctlError as error:
            return {"error": str(error)}


def see(backend: BirdBackend, inventory: Inventory | None) -> Sight | None:
    """Everything BIRD says now; None when it does not answer."""
    try:
        status, sessions = backend.status(), backend.sessions()
        bfd = backend.bfd() if inventory and any(each.bfd for each in inventory.sessions.values()) else ()
    except BackendError:
        return None
    views = peers(inventory, sessions, bfd) if inventory else ()
    return Sight(status=status, sessions=sessions, bfd=bfd, peers=views, at=time.monotonic())


def _monotonic(moment: float | None) -> float:
    """A time of day (seconds since the epoch) on the monotonic clock; never for None."""
    return math.inf if moment is None else time.monotonic() + moment - time.time()
