"""Routing's loop: looks at BIRD, which other people configure and which may go away, and makes it run the objects."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from birdctl.addresses import Address, host_prefix
from birdctl.errors import BirdctlError, Undone
from birdctl.observe.counters import Counters
from birdctl.observe.sight import Sight, see
from birdctl.observe.state import Routing
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.loop import Loop
from birdctl.reconcile.reconciler import Prepared, Reconciler
from birdctl.reconcile.watch import BirdWatch, Look
from birdctl.routing import inventory as inventories
from birdctl.routing.compile.services import Considered
from birdctl.routing.inventory import Inventory
from birdctl.routing.model import PeerType
from birdctl.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
ABSENT_LOOK_SECONDS = (0.02, 0.5)
UNDONE_SECONDS = (60.0, 3600.0)
SIGHT_SECONDS = 30.0
CURIOUS_SECONDS = 30.0
RECENT_SECONDS = 2.0


class RoutingLoop(Loop[Routing]):
    """Sessions and routes stay when it ends."""

    name = "routing"

    def __init__(self, settings: Settings, inbox: Inbox, counters: Counters, after_turn: Callable[[], None]) -> None:
        state = Routing(
            inventory=inventories.read(settings.runtime_dir)
            or Inventory(node=settings.node, digest="", version=(), router_id=""),
            patience=settings.commit_timeout + 30,
            quorum=settings.ready_sessions / 100,
        )
        super().__init__(settings, inbox, counters.routing, state, after_turn)
        self._counters = counters
        only_programmed = settings.run_service_proxy
        self._reconciler = Reconciler(settings, self._cluster, only_programmed=only_programmed)
        self._watch = BirdWatch(settings.bird_socket)
        self._absence = Backoff(*ABSENT_LOOK_SECONDS)
        self._rest = Backoff(*UNDONE_SECONDS)
        self._seen: Look | None = None
        self._next_look = 0.0
        self._see_at = 0.0
        self._curious_until = 0.0

    def announces(self, address: Address) -> bool:
        """Whether BIRD has been told to announce just this address. For other threads."""
        prefix = str(host_prefix(address))
        return any(prefix in prefixes for prefixes in self.state.inventory.originated.values())

    def decisions(self, service: str) -> tuple[Considered, ...]:
        """What becomes of each address of a service, and why. For other threads. Raises InputError, Unavailable."""
        return self.ask(lambda _: self._reconciler.decisions(service))

    def observe(self) -> Sight | None:
        """What BIRD says now or said a moment ago; None when it does not answer. For other threads."""
        state = self.state
        recent = state.sight is not None and time.monotonic() - state.sight.at < RECENT_SECONDS
        return state.sight if recent else see(self._reconciler.backend, state.inventory)

    def _take_dirty(self) -> bool:
        return self._reconciler.take_in()

    def _forget(self) -> None:
        self._reconciler.forget()

    def _adopt(self, settings: Settings) -> None:
        super()._adopt(settings)
        self._reconciler.adopt(settings)
        self._note(quorum=settings.ready_sessions / 100)

    def _plan(self) -> Mapping[str, Any]:
        return self._reconciler.prepare().plan.forms()

    def _filenos(self) -> list[int]:
        return self._watch.filenos()  # BIRD sends nothing unasked: readable, it has closed the connection

    @property
    def _look_at(self) -> float:
        return self._next_look

    @property
    def _can_pass(self) -> bool:
        return self.state.synced and self._seen is not None

    def _close(self) -> None:
        self._watch.close()

    def _look(self, *, now: bool) -> None:
        if not now and time.monotonic() < self._next_look:
            return
        before, look = self._seen, self._watch.look()
        self._seen = look
        if look is None:
            self._no_bird()
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
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
        self._next_look = time.monotonic() + self._absence.next()
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

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        plan = prepared.plan
        self._tell_problems(plan.problems)
        self._note(dirty=False, desired=plan.desired, pending=plan.size)
        self._recheck = _monotonic(prepared.recheck_at)
        if plan.changes:
            log.info("%s", plan.summary())
        if plan.changes or self.state.last_sync is None:
            self._carry_out(prepared)
        self._seen = self._seen and replace(self._seen, digest=plan.desired)
        if plan.touches_sessions:
            self._be_curious()
        self._rest.reset()
        self._succeeded(started, changed=plan.changes, running=plan.desired, inventory=prepared.inventory)

    def _failed(self, error: BirdctlError) -> None:
        super()._failed(error)
        self._next_look = 0.0

    def _pause(self, error: BirdctlError) -> float:
        """What cost sessions rests longer than what merely failed: trying again would cost them again."""
        return self._rest.next() if isinstance(error, Undone) else super()._pause(error)

    def _carry_out(self, prepared: Prepared) -> None:
        result = self._reconciler.carry_out(prepared)
        self._counters.commit_seconds.observe(result.commit.seconds)


def _monotonic(moment: float | None) -> float:
    """A time of day (seconds since the epoch) on the monotonic clock; never for None."""
    return math.inf if moment is None else time.monotonic() + moment - time.time()
