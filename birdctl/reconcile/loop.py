"""One domain's loop: one thread that owns a cluster and the passes over it; everything else posts to its inbox.

    sources, control socket ──> inbox ──> turn: take in → look at the node → pass when due → answer

A pass is due at a time, `_due`: at once after a change, later after a failure (back-off) or for the resync, never
while the source's first complete lists, or what the domain writes to, are missing. Domains have a loop each, so none
waits for what another one writes to.
"""

from __future__ import annotations

import logging
import math
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, NoReturn, TypeVar

from msgspec.structs import replace

from birdctl.cluster.store import Cluster
from birdctl.errors import BackendError, BirdctlError, InputError, Unavailable, UnsafePlan
from birdctl.observe.counters import Passes
from birdctl.observe.state import Progress
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Arrived, Call, Inbox, Request
from birdctl.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = (1.0, 60.0)
LINGER_SECONDS = 0.005
"""What changes together arrives together: a pass waits this long for the rest."""
TURN_SECONDS = 10.0
"""The longest time between two turns, for the heartbeat."""

ANSWER_SECONDS = 4.0
"""How long a question waits for the loop."""

P = TypeVar("P", bound=Progress)
T = TypeVar("T")


class Loop(ABC, Generic[P]):
    """Runs from `run()` until `stop()`; what is on the node stays when it ends, however it ends.

    No pass before the kinds of its inbox are synced. `after_turn` is called in the loop's thread and must not block. A
    domain says what a pass does (`_reconcile`), and what else it looks at on the node.
    """

    name: str

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        passes: Passes,
        state: P,
        after_turn: Callable[[], None],
    ) -> None:
        self.state = state
        self._settings = settings
        self._inbox = inbox
        self._passes = passes
        self._after_turn = after_turn
        self._cluster = Cluster()
        self._backoff = Backoff(*RETRY_SECONDS)
        self._requests: list[Request] = []
        self._changed_at: float | None = None
        self._due = 0.0
        self._recheck = math.inf
        self._running = True

    # What other threads call.

    def stop(self) -> None:
        self._inbox.post(Call(self._stop))

    def wake(self) -> None:
        """Has it look at what others did."""
        self._inbox.wake()

    def request(self, request: Request) -> None:
        """Asks for the plan, or to be told when everything that arrived before is applied and read back."""
        self._inbox.post(request)

    def adopt(self, settings: Settings) -> None:
        """Goes on with other settings, everything compiled afresh."""
        self._inbox.post(Call(lambda: self._adopt(settings)))

    def ask(self, question: Callable[[Cluster], T]) -> T:
        """What `question` finds out of the cluster, in the loop's thread. For other threads. Raises Unavailable while
        the loop is in a long pass, and what `question` raises.
        """
        answers: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._inbox.post(Call(lambda: answers.put(_outcome(question, self._cluster))))
        try:
            return answers.get(timeout=ANSWER_SECONDS)()
        except Empty:
            raise Unavailable("the agent is in the middle of a pass") from None

    # What a domain is.

    @abstractmethod
    def _reconcile(self, started: float) -> None:
        """One pass, which ends with `_succeeded`. Raises BirdctlError."""

    @abstractmethod
    def _take_dirty(self) -> bool:
        """Whether the cluster changed since the last call."""

    @abstractmethod
    def _forget(self) -> None:
        """The next pass compiles and compares everything."""

    @abstractmethod
    def _plan(self) -> Mapping[str, Any]:
        """What a pass would do now. Raises BirdctlError."""

    def _adopt(self, settings: Settings) -> None:
        self._settings = settings
        self._due = 0.0
        self._note(dirty=True)

    def _filenos(self) -> list[int]:
        """What to look at the node for at once, when it is readable."""
        return []

    @property
    def _look_at(self) -> float:
        """When to look at the node next (monotonic)."""
        return math.inf

    def _look(self, *, now: bool) -> None:
        """Looks at the node if it is time, or `now`."""

    @property
    def _can_pass(self) -> bool:
        return self.state.synced

    def _close(self) -> None:
        """The loop has ended."""

    # The loop.

    def run(self) -> None:
        try:
            while self._running:
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        woken = self._wait()
        asked = self._take_in()
        self._look(now=woken or asked or bool(self._requests))
        if self._can_pass and time.monotonic() >= min(self._due, self._recheck):
            self._pass()
        self._answer()
        self._note(heartbeat=time.monotonic())
        if not self._lingers:
            self._after_turn()

    @property
    def _lingers(self) -> bool:
        """A pass follows at once, and everybody is told of that alone: waking others costs as much as taking in."""
        return self._can_pass and self._due <= time.monotonic() + LINGER_SECONDS

    def _note(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _wait(self) -> bool:
        """Until there is something to do; whether the node is the reason."""
        deadlines = [time.monotonic() + TURN_SECONDS, self._look_at, *(each.until for each in self._requests)]
        if self._can_pass:
            deadlines += [self._due, self._recheck]
        pause = max(0.0, min(deadlines) - time.monotonic())
        others = self._filenos()
        return not set(others).isdisjoint(select.select([self._inbox.fileno(), *others], [], [], pause)[0])

    def _take_in(self) -> bool:
        """Everything posted so far; whether somebody asked for something."""
        arrivals, asked = [], False
        for message in self._inbox.take():
            match message:
                case Arrived(event, at):
                    self._cluster.apply(event)
                    arrivals.append(at)
                case Request():
                    self._requests.append(message)
                    asked = True
                case Call(function):
                    function()
        if self._take_dirty():
            self._changed_at = self._changed_at or min(arrivals)
            self._due = min(self._due, time.monotonic() + LINGER_SECONDS)
            self._note(dirty=True)
        if not self.state.synced and self._cluster.synced(self._inbox.types):
            self._note(synced=True)
        return asked

    def _stop(self) -> None:
        self._running = False

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

    def _tell_problems(self, problems: tuple[InputError, ...]) -> None:
        """One line in the log for each that appears, and for each that is gone."""
        before, now = ({str(each) for each in found} for found in (self.state.problems, problems))
        for problem in sorted(now - before):
            log.warning("left out: %s", problem)
        for problem in sorted(before - now):
            log.info("no longer wrong: %s", problem)
        if before != now:
            self._note(problems=problems)

    def _succeeded(self, started: float, *, changed: bool, **changes: Any) -> None:
        now = time.monotonic()
        self._passes.results["changed" if changed else "unchanged"] += 1
        self._passes.seconds.observe(now - started)
        if self._changed_at is not None:
            self._passes.reaction_seconds.observe(now - self._changed_at)
            self._changed_at = None
        self._backoff.reset()
        self._due = now + self._resync_period
        self._note(
            pending=0,
            error="",
            refused=False,
            generation=self.state.generation + changed,
            last_sync=time.time(),
            last_sync_seconds=round(now - started, 3),
            **changes,
        )

    def _failed(self, error: BirdctlError) -> None:
        refused = isinstance(error, UnsafePlan)
        self._passes.results["refused" if refused else "failed"] += 1
        self._due = time.monotonic() + self._pause(error)
        if str(error) != self.state.error:
            log.error("%s", error)
        if not refused:
            self._forget()
        self._note(error=str(error), refused=refused)

    def _pause(self, error: BirdctlError) -> float:
        """Seconds until the next try. A refusal waits for a change; everything else is tried again."""
        return self._resync_period if isinstance(error, UnsafePlan) else self._backoff.next()

    @property
    def _resync_period(self) -> float:
        return self._settings.resync_period

    def _answer(self) -> None:
        now, waiting = time.monotonic(), []
        for request in self._requests:
            if request.what == "plan":
                request.reply.put(self._plan_document())
            elif self.state.converged or now >= request.until:
                request.reply.put({})
            else:
                waiting.append(request)
        self._requests = waiting

    def _plan_document(self) -> Mapping[str, Any]:
        if not self.state.synced:
            return {"error": "waiting for the first complete sync"}
        try:
            return self._plan()
        except BirdctlError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("a bug in this plan")
            return {"error": f"bug: {type(error).__name__}"}


def _outcome(question: Callable[[Cluster], T], cluster: Cluster) -> Callable[[], T]:
    """Returns what it found out, or raises what it raised, where it is called."""
    try:
        found = question(cluster)
    except Exception as error:  # noqa: BLE001 - whoever asked has to know, the loop goes on
        return partial(_raise, error)
    return lambda: found


def _raise(error: Exception) -> NoReturn:
    raise error
