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
from queue import Empty
from typing import Any, Literal

from msgspec.structs import replace

from birdctl.cluster.source import Source
from birdctl.cluster.store import Cluster
from birdctl.errors import BackendError, BirdctlError, InputError, Unavailable, Undone, UnsafePlan
from birdctl.observe.counters import Counters
from birdctl.observe.sight import Sight, see
from birdctl.observe.state import State, document
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Arrived, Call, Inbox, Request
from birdctl.reconcile.reconciler import Prepared, Reconciler
from birdctl.reconcile.watch import BirdWatch, Look
from birdctl.routing import inventory as inventories
from birdctl.routing.inventory import Inventory
from birdctl.routing.model import PeerType
from birdctl.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
ABSENT_LOOK_SECONDS = (0.02, 0.5)
RETRY_SECONDS = (1.0, 60.0)
UNDONE_SECONDS = (60.0, 3600.0)
SIGHT_SECONDS = 30.0
CURIOUS_SECONDS = 30.0
RECENT_SECONDS = 2.0
LINGER_SECONDS = 0.005
"""What changes together arrives together: a pass waits this long for the rest."""


class Agent:
    """Runs from `run()` until `stop()`; sessions and routes stay when it ends, however it ends.

    `after_turn` is called in the loop's thread and must not block.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        inbox: Inbox,
        counters: Counters,
        after_turn: Callable[[State], None],
    ) -> None:
        self._settings = settings
        self._after_turn = after_turn
        self._source = source
        self._counters = counters
        self._cluster = Cluster()
        self._reconciler = Reconciler(settings, self._cluster)
        self._watch = BirdWatch(settings.bird_socket)
        self._inbox = inbox
        self._backoff = Backoff(*RETRY_SECONDS)
        self._rest = Backoff(*UNDONE_SECONDS)
        self._absence = Backoff(*ABSENT_LOOK_SECONDS)
        self._requests: list[Request] = []
        self._changed_at: float | None = None
        self._due = 0.0
        self._recheck = math.inf
        self._look_at = 0.0
        self._look: Look | None = None
        self._see_at = 0.0
        self._curious_until = 0.0
        self._running = True
        self.state = State(
            node=settings.node,
            inventory=inventories.read(settings.runtime_dir)
            or Inventory(node=settings.node, digest="", version=(), router_id=""),
            source=source.kind,
            patience=settings.commit_timeout + 30,
            quorum=settings.ready_sessions / 100,
        )

    # What other threads call.

    def stop(self) -> None:
        self._inbox.post(Call(self._stop))

    def observe(self) -> tuple[State, Sight | None]:
        """The state, and what BIRD says now or said a moment ago; None when it does not answer."""
        state = self.state
        recent = state.sight is not None and time.monotonic() - state.sight.at < RECENT_SECONDS
        return state, state.sight if recent else see(self._reconciler.backend, state.inventory)

    def sync(self, timeout: float) -> Mapping[str, Any]:
        """The status once everything written to the source before the call is applied and read back, or when `timeout`
        seconds are over.
        """
        self._source.refresh()
        return self._ask("sync", timeout)

    def plan(self, timeout: float) -> Mapping[str, Any]:
        """The plan of the moment in its `forms`, or why there is none."""
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
            self._after_turn(self.state)
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
        sources = [self._inbox.fileno(), *self._watch.filenos()]
        if set(select.select(sources, [], [], pause)[0]) & set(self._watch.filenos()):
            self._look_at = 0.0  # BIRD closed the connection: it sends nothing unasked

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
                case Call(function):
                    function()
        if self._reconciler.take_in():
            self._changed_at = self._changed_at or min(arrivals)
            self._due = min(self._due, time.monotonic() + LINGER_SECONDS)
            self._note(dirty=True)
        if not self.state.synced and self._cluster.synced(self._source.types):
            self._note(synced=True)

    def _stop(self) -> None:
        self._running = False

    def adopt(self, settings: Settings) -> None:
        """Goes on with other settings, everything compiled afresh. To be called in the loop's thread."""
        self._settings = settings
        self._reconciler.adopt(settings)
        self._due = 0.0
        self._note(dirty=True, quorum=settings.ready_sessions / 100)

    def _look_at_bird(self) -> None:
        before, look = self._look, self._watch.look()
        self._look = look
        if look is None:
            self._no_bird()
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._note(bird_error="", running=look.digest)
        if before is None:
            log.info("BIRD answers on %s", self._settings.bird_socket)
            self._absence.reset()
        if before is None or look.digest not in (before.digest, self.state.desired):
            self._start_over()
        elif look.digest != before.digest and self.state.error:
            self._due = 0.0  # somebody else did what failed here
        self._see(before, look)

    def _no_bird(self) -> None:
        self._look_at = time.monotonic() + self._absence.next()
        if self._watch.error != self.state.bird_error:
            log.warning("%s", self._watch.error)
        self._note(bird_error=self._watch.error, running=None, sight=None)

    def _start_over(self) -> None:
        """BIRD is new, or somebody else changed its configuration: everything afresh."""
        self._reconciler.forget()
        self._due = 0.0

    def _see(self, before: Look | None, look: Look) -> None:
        """Reads everything after a change, at every look until all sessions carry their routes (but not for ever, as a
        peer may be dead), and once in a while for the counts.
        """
        known = before.established if before else frozenset()
        if before is None or known != look.established:
            self._tell_sessions(known, look.established)
            self._be_curious()
            if self.state.refused:
                self._due = 0.0  # a refusal protects sessions that are up
        now = time.monotonic()
        if now < self._see_at:
            return
        sight = see(self._reconciler.backend, self.state.inventory)
        coming = sight is None or sight.carrying < self.state.configured
        self._see_at = now + (0.0 if coming and now < self._curious_until else SIGHT_SECONDS)
        self._note(sight=sight)

    def _be_curious(self) -> None:
        self._see_at = 0.0
        self._curious_until = time.monotonic() + CURIOUS_SECONDS

    def _tell_sessions(self, before: frozenset[str], now: frozenset[str]) -> None:
        """One line in the log for those that came up, one for those that went down."""
        sessions = self.state.inventory.sessions
        for word, protocols in (("up", now - before), ("down", before - now)):
            if changed := sorted(sessions[each].peer for each in protocols if each in sessions):
                up = len(now & sessions.keys())
                log.info("sessions %s: %s (%d of %d Established)", word, ", ".join(changed), up, len(sessions))
        for protocol in before - now:
            if protocol in sessions and sessions[protocol].type is PeerType.EXTERNAL:
                self._counters.flaps[sessions[protocol].peer] += 1

    def _pass(self) -> None:
        started = time.monotonic()
        self._recheck = math.inf
        try:
            self._reconcile(started)
        except BirdctlError as error:
            self._failed(error)
        except Exception as error:
            log.exception("a bug in this pass; everything stays as it is")
            self._failed(BackendError(f"bug: {type(error).__name__}"))

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        plan = prepared.plan
        self._tell_problems(plan.problems)
        self._note(dirty=False, desired=plan.desired, pending=plan.size)
        self._recheck = _monotonic(prepared.recheck_at)
        if plan.changes:
            log.info("%s", plan.summary())
        if plan.changes or self.state.last_sync is None:
            result = self._reconciler.carry_out(prepared)
            self._counters.commit_seconds.observe(result.commit.seconds)
        self._succeeded(prepared, time.monotonic() - started)

    def _tell_problems(self, problems: tuple[InputError, ...]) -> None:
        """One line in the log for each that appears, and for each that is gone."""
        before, now = ({str(each) for each in found} for found in (self.state.problems, problems))
        for problem in sorted(now - before):
            log.warning("left out: %s", problem)
        for problem in sorted(before - now):
            log.info("no longer wrong: %s", problem)
        if before != now:
            self._note(problems=problems)

    def _succeeded(self, prepared: Prepared, seconds: float) -> None:
        now = time.monotonic()
        self._look = self._look and replace(self._look, digest=prepared.plan.desired)
        self._counters.passes["changed" if prepared.plan.changes else "unchanged"] += 1
        self._counters.pass_seconds.observe(seconds)
        if self._changed_at is not None:
            self._counters.reaction_seconds.observe(now - self._changed_at)
            self._changed_at = None
        if prepared.plan.touches_sessions:
            self._be_curious()
        self._backoff.reset()
        self._rest.reset()
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
        """A refusal waits for a change. What cost sessions rests longer than what merely failed."""
        refused = isinstance(error, UnsafePlan)
        self._counters.passes["refused" if refused else "failed"] += 1
        if refused:
            pause = self._settings.resync_period
        else:
            pause = (self._rest if isinstance(error, Undone) else self._backoff).next()
        self._due = time.monotonic() + pause
        if str(error) != self.state.error:
            log.error("%s", error)
        if not refused:
            self._reconciler.forget()
        self._look_at = 0.0
        self._note(error=str(error), refused=refused)

    def _answer(self) -> None:
        now, waiting = time.monotonic(), []
        for request in self._requests:
            if request.what == "plan":
                request.reply.put(self._planned())
            elif self.state.converged or now >= request.until:
                request.reply.put(document(self.state))
            else:
                waiting.append(request)
        self._requests = waiting

    def _planned(self) -> Mapping[str, Any]:
        if not self.state.synced:
            return {"error": self.state.source_error or "waiting for the first complete sync"}
        try:
            return self._reconciler.prepare().plan.forms()
        except BirdctlError as error:
            return {"error": str(error)}


def _monotonic(moment: float | None) -> float:
    """A time of day (seconds since the epoch) on the monotonic clock; never for None."""
    return math.inf if moment is None else time.monotonic() + moment - time.time()
