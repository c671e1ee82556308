"""The only way to BIRD: reads its state, and changes its configuration by a confirmed commit.

    candidate file → check → configure with timeout → over? → digest read back → health → confirm → main file

Until the confirm BIRD goes back by itself when its timeout is over, whatever happened to this process. A second
`configure` would accept the first one unconfirmed, so commits are one at a time, between processes too.
"""

from __future__ import annotations

import fcntl
import math
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdctl.addresses import Prefix
from birdctl.errors import BackendError, NotConverged, Unavailable, Undone, UnsafePlan
from birdctl.routing import inventory as inventories
from birdctl.routing import readback, readback_routes
from birdctl.routing.bird import BirdSocket
from birdctl.routing.history import ConfigFiles, HistoryEntry
from birdctl.routing.inventory import Inventory
from birdctl.routing.refusal import refusal
from birdctl.routing.state import BfdState, BirdStatus, RouteState, SessionState

if TYPE_CHECKING:
    from birdctl.routing.render import Rendered  # brings jinja2 along, which readers do not need

# BIRD's reply codes (doc/reply_codes).
_RUNS, _SHUTTING_DOWN, _CONFIRMED, _UNDO_SCHEDULED = 3, 6, 18, 22
# 9001 also says that the running configuration lacks what a command is about.
_NOT_FOUND, _FAILED, _LACKING = 8001, 8002, 9001

# What a session that went down gets to come back before the undo: half of the commit timeout, at most this. Seconds.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    """What a commit did. `changed` False: this configuration ran already. `seconds`: from the candidate to the end."""

    digest: str
    changed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class _Watch:
    """Protocols whose session may go down (None: any), and how long the others are watched (seconds)."""

    losses: Collection[str] | None
    probation: float


class BirdBackend:
    """One BIRD: its control socket and its configuration file.

    `commit_timeout` seconds after an unconfirmed change BIRD undoes it. Every method raises Unavailable when BIRD is
    not there or goes away, and BackendError when it refuses.
    """

    def __init__(self, socket: Path, config: Path, runtime_dir: Path, commit_timeout: float = 30.0) -> None:
        self._socket = socket
        self._files = ConfigFiles(config, runtime_dir)
        self._timeout = commit_timeout

    def status(self) -> BirdStatus:
        """The daemon, without its sessions."""
        with BirdSocket(self._socket) as bird:
            return _clock(bird).status

    def sessions(self) -> tuple[SessionState, ...]:
        """Every BGP session, in BIRD's order."""
        with BirdSocket(self._socket) as bird:
            now = _clock(bird).now
            return readback.sessions(bird.stream("show protocols all"), now)

    def bfd(self) -> tuple[BfdState, ...]:
        """Every BFD session; none without a BFD protocol."""
        with BirdSocket(self._socket) as bird:
            now = _clock(bird).now
            return readback.bfd(bird.stream("show bfd sessions", allow=(_LACKING,)), now)

    def routes(
        self,
        *,
        table: str | None = None,
        prefix: Prefix | None = None,
        protocol: str | None = None,
        exported_to: str | None = None,
        filtered: bool = False,
    ) -> tuple[RouteState, ...]:
        """Routes of all tables or of one; of one prefix; that a protocol brought; that a session was really sent.

        `filtered`: instead those that import filters rejected and BIRD keeps.
        """
        words = (
            "show route all filtered" if filtered else "show route all",
            str(prefix) if prefix else "",
            f"table {_symbol(table)}" if table else "",
            f"protocol {_symbol(protocol)}" if protocol else "",
            f"exported {_symbol(exported_to)}" if exported_to else "",
        )
        return self._routes(" ".join(word for word in words if word), exported_to)

    def _routes(self, command: str, session: str | None, attempts: int = 5) -> tuple[RouteState, ...]:
        """Asks again when a reconfiguration cut the table short. A `session` that is down is sent nothing."""
        try:
            with BirdSocket(self._socket) as bird:
                if session and session not in _established(bird):
                    return ()
                lines = bird.stream(command, allow=(_NOT_FOUND, readback_routes.STOPPED))
                return tuple(readback_routes.routes(lines))
        except Unavailable:
            if attempts == 1:
                raise
            return self._routes(command, session, attempts - 1)

    def running_text(self) -> str | None:
        """The text of what runs; None when it is not ours or not kept."""
        digest = self.status().digest
        return self._files.text(digest) if digest else None

    def history(self) -> tuple[HistoryEntry, ...]:
        """The known-good configurations, newest first."""
        return self._files.entries(self.status().digest)

    def rollback(self, to: int | None = None) -> CommitResult:
        """Back to the configuration numbered `to`, or to the newest good one that does not run.

        Sessions may be lost on the way: it is a person's decision. Twice in a row goes there and back.
        """
        entries = self.history()
        if to is None:
            to = next((each.number for each in entries if not each.running), None)
        if to is None:
            raise BackendError("there is no earlier configuration to go back to")
        text, inventory = self._files.entry(to)
        return self._commit(text, inventory, _Watch(None, 0.0))

    def commit(
        self,
        rendered: Rendered,
        inventory: Inventory,
        *,
        expected_losses: Collection[str] | None = (),
        probation: float = 0.0,
    ) -> CommitResult:
        """Makes BIRD run `rendered`, or leaves it as it was and raises.

        `expected_losses` are the protocols whose session may go down; None: any. The others are watched for
        `probation` seconds: a limit that is exceeded ends a session only once its routes were read again.
        Raises BackendError when BIRD refuses the text, Undone when another session is lost, UnsafePlan when these are
        sessions of a configuration that is not ours, NotConverged when something else runs in the end, Unavailable
        also while somebody else commits.
        """
        return self._commit(rendered.text, inventory, _Watch(expected_losses, probation))

    def _commit(self, text: str, inventory: Inventory, watch: _Watch) -> CommitResult:
        started = time.monotonic()
        with self._alone(), BirdSocket(self._socket, restrict=False) as bird:
            running = self._settle(bird)
            self._files.promote(running)
            if running != inventory.digest:
                self._files.stage(text, inventory)
                self._switch(bird, running, text, inventory.digest, watch)
            elif not self._files.holds(text, inventory):
                self._files.stage(text, inventory)
            self._files.promote(inventory.digest)
            changed = running != inventory.digest
            return CommitResult(digest=inventory.digest, changed=changed, seconds=time.monotonic() - started)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The lock goes with the process that holds it."""
        with self._files.lock() as lock:
            if not _poll(lambda: _locked(lock.fileno()), self._timeout):
                raise Unavailable("another birdctl is committing to this BIRD")
            yield

    def _settle(self, bird: BirdSocket) -> str | None:
        """The digest of what runs, once no reconfiguration is going on and nothing waits for its confirm.

        What waits and is ours was left by a birdctl that died: nobody can confirm it any more, so it is undone now
        instead of at its timeout. What is not ours is somebody's at the keyboard.
        """
        self._over(bird)
        running = _digest(bird)
        waiting = bird.request("configure status").text(_UNDO_SCHEDULED)
        if waiting and running is None:
            raise Unavailable(f"somebody else's change of BIRD is not confirmed yet ({waiting})")
        if waiting:
            self._undo(bird, self._files.main_digest)
            running = _digest(bird)
        return running

    def _switch(self, bird: BirdSocket, previous: str | None, text: str, digest: str, watch: _Watch) -> None:
        candidate = self._files.candidate
        check = bird.request(f'configure check "{candidate}"', allow=(_FAILED,))
        if check.failed:
            raise BackendError(f"BIRD refused the configuration: {refusal(check.lines[-1].text, text)}")
        needed = _needed(_established(bird), watch.losses)
        if needed and previous is None:
            raise UnsafePlan(
                f"BIRD runs somebody else's configuration with {_sessions(needed)} up (--force takes over)"
            )
        timeout = max(1, math.ceil(self._timeout))
        bird.request(f'configure "{candidate}" timeout {timeout}', timeout=self._timeout)
        self._over(bird)
        if (running := _digest(bird)) != digest:
            raise NotConverged(f"BIRD runs {running or 'a configuration of somebody else'} instead of {digest}")
        if lost := self._lost(bird, needed, watch.probation):
            self._undo(bird, previous)
            raise Undone(f"undone: the configuration cost {_sessions(lost)}")
        if bird.request("configure confirm").code != _CONFIRMED:
            raise NotConverged(f"BIRD undid {digest} before it was confirmed")

    def _lost(self, bird: BirdSocket, needed: frozenset[str], probation: float) -> frozenset[str]:
        """Those of `needed` that are down or go down on probation, after they had time to come back."""
        if needed and probation:
            _poll(lambda: not needed <= _established(bird), probation)
        if _poll(lambda: needed <= _established(bird), min(_PATIENCE, self._timeout / 2)):
            return frozenset()
        return needed - _established(bird)

    def _undo(self, bird: BirdSocket, previous: str | None) -> None:
        """Back to what ran before. The main file read anew is the same as BIRD's `undo`, except that BIRD 2 after an
        `undo` refuses the neighbours of unnumbered peers for good. A file that does not parse would cancel the undo.
        """
        main = self._files.main
        known = previous is not None and self._files.main_digest == previous
        good = known and not bird.request(f'configure check "{main}"', allow=(_FAILED,)).failed
        bird.request(f'configure "{main}"' if good else "configure undo")
        self._over(bird)

    def _over(self, bird: BirdSocket) -> None:
        """Waits for the end of a reconfiguration: 0003 to `configure` only says that it was accepted."""

        def over() -> bool:
            status = bird.request("configure status")
            if status.text(_SHUTTING_DOWN) is not None:
                raise Unavailable("BIRD is shutting down")
            return status.text(_RUNS) is not None

        if not _poll(over, self._timeout):
            raise Unavailable(f"BIRD's reconfiguration takes longer than {self._timeout:g} s")


def _clock(bird: BirdSocket) -> readback.Clock:
    return readback.clock(bird.greeting, bird.request("show status"), _digest(bird))


def _digest(bird: BirdSocket) -> str | None:
    return readback.digest(bird.request("eval BIRDCTL_DIGEST", allow=(_LACKING,)))


def _established(bird: BirdSocket) -> frozenset[str]:
    return readback.established(bird.stream("show protocols"))


def _needed(established: Collection[str], expected_losses: Collection[str] | None) -> frozenset[str]:
    """Sessions that must survive; that of an unnumbered peer goes by the peer's name."""
    if expected_losses is None:
        return frozenset()
    expected = dict.fromkeys(expected_losses, True)
    return frozenset(name for name in established if not inventories.of_protocol(expected, name))


def _sessions(names: Collection[str]) -> str:
    """`2 sessions (tor1, tor2)`."""
    return f"{len(names)} session{'s' * (len(names) > 1)} ({', '.join(sorted(names))})"


def _symbol(name: str) -> str:
    if not re.fullmatch(r"[\w.:-]+", name):
        raise BackendError(f"{name!r} is no name of BIRD's")
    return f"'{name}'"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _poll(done: Callable[[], bool], seconds: float) -> bool:
    """Asks until it is done, a millisecond apart at first. False when that took too long."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True
