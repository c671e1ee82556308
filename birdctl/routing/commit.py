"""The only way to BIRD: reads its state and changes its configuration by a confirmed commit.

    candidate file → check → configure with timeout → over? → digest read back → health → confirm → main file

Until the confirm BIRD goes back by itself when its timeout ends, whatever happens to this process. A second
`configure` would accept the first one unconfirmed, so commits are one at a time, between processes too.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdctl.errors import BackendError, NotConverged, Unavailable
from birdctl.routing import readback, readback_routes
from birdctl.routing.bird import BirdSocket
from birdctl.routing.history import ConfigFiles, HistoryEntry
from birdctl.routing.inventory import Inventory
from birdctl.routing.state import BfdState, BirdStatus, RouteState, SessionState

if TYPE_CHECKING:
    from birdctl.routing.render import Rendered

_NO_DIGEST = 9001
_CHECK_FAILED = 8002
_DONE, _UNDO_SCHEDULED, _CONFIRMED = 3, 22, 18
# Half of the commit timeout, at most this: what a session that went down gets to come back before the undo.
_HEALTH_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    """What a commit did. `changed` False: this configuration ran already. `seconds` from candidate to confirm."""

    digest: str
    changed: bool
    seconds: float


class BirdBackend:
    """One BIRD: its control socket and its configuration file. `commit_timeout` in seconds, as given to BIRD."""

    def __init__(self, socket: Path, config: Path, runtime_dir: Path, commit_timeout: float = 30.0) -> None:
        self._socket = socket
        self._files = ConfigFiles(config, runtime_dir)
        self._runtime_dir = runtime_dir
        self._timeout = commit_timeout

    def status(self) -> BirdStatus:
        """The daemon, without its sessions. Raises Unavailable, BackendError."""
        with BirdSocket(self._socket) as bird:
            return _clock(bird).status

    def sessions(self) -> tuple[SessionState, ...]:
        """Every BGP session, in BIRD's order."""
        with BirdSocket(self._socket) as bird:
            now = _clock(bird).now
            return readback.sessions(bird.stream("show protocols all"), now)

    def bfd(self) -> tuple[BfdState, ...]:
        with BirdSocket(self._socket) as bird:
            now = _clock(bird).now
            return readback.bfd(bird.request("show bfd sessions", allow=range(8000, 10000)).lines, now)

    def routes(self, selection: str = "") -> Iterator[RouteState]:
        """Routes of `show route all`; `selection` in BIRD's words: `table master4`, `protocol tor1`, `export tor1`."""
        with BirdSocket(self._socket) as bird:
            yield from readback_routes.routes(bird.stream(f"show route all {selection}".rstrip()))

    def running_text(self) -> str | None:
        """The text of what runs; None when it is not ours or not kept."""
        digest = self.status().digest
        return self._files.text(digest) if digest else None

    def history(self) -> tuple[HistoryEntry, ...]:
        """The known-good configurations, newest first."""
        return self._files.entries(self.status().digest)

    def rollback(self, to: int | None = None) -> CommitResult:
        """Back to the configuration numbered `to`, or to the newest good one that does not run."""
        entries = self.history()
        if to is None:
            to = next((each.number for each in entries if not each.running), None)
        if to is None:
            raise BackendError("there is no earlier configuration to go back to")
        text, inventory = self._files.entry(to)
        return self._commit(text, inventory.digest, inventory, None)

    def commit(
        self, rendered: Rendered, inventory: Inventory, *, expected_losses: Collection[str] = ()
    ) -> CommitResult:
        """Makes BIRD run `rendered`, or leaves it as it was and raises.

        `expected_losses`: protocols whose session may go down. Raises BackendError when BIRD refuses the text or a
        session is lost, NotConverged when something else runs in the end, Unavailable when BIRD or the lock is away.
        """
        return self._commit(rendered.text, rendered.digest, inventory, expected_losses)

    def _commit(
        self, text: str, digest: str, inventory: Inventory, expected_losses: Collection[str] | None
    ) -> CommitResult:
        with self._alone(), BirdSocket(self._socket, restrict=False) as bird:
            started = time.monotonic()
            running = self._settle(bird)
            self._files.promote(running)
            changed = running != digest
            self._files.write_candidate(text, inventory)
            if changed:
                self._switch(bird, digest, expected_losses)
            result = CommitResult(digest=digest, changed=changed, seconds=time.monotonic() - started)
            self._files.promote(digest)
            return result

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._runtime_dir.mkdir(parents=True, exist_ok=True)
        with (self._runtime_dir / "commit.lock").open("w") as lock:
            if not _poll(lambda: _locked(lock.fileno()), self._timeout):
                raise Unavailable(f"another birdctl commits to {self._socket}")
            yield

    def _settle(self, bird: BirdSocket) -> str | None:
        """The digest of what runs once no reconfiguration is going on and nothing waits for its confirm."""
        self._over(bird)
        running = _digest(bird)
        waiting = bird.request("configure status").text(_UNDO_SCHEDULED)
        if waiting and running is None:
            raise Unavailable(f"somebody else's commit is going on ({waiting})")
        if waiting:
            self._undo(bird)
            running = _digest(bird)
        return running

    def _switch(self, bird: BirdSocket, digest: str, expected_losses: Collection[str] | None) -> None:
        candidate = self._files.candidate
        before = readback.established(bird.stream("show protocols"))
        needed = before - set(before if expected_losses is None else expected_losses)
        check = bird.request(f'configure check "{candidate}"', allow=(_CHECK_FAILED,))
        if check.failed:
            raise BackendError(f"BIRD refused the configuration: {check.lines[-1].text}")
        bird.request(f'configure "{candidate}" timeout {max(1, round(self._timeout))}', timeout=self._timeout)
        self._over(bird)
        if (running := _digest(bird)) != digest:
            raise NotConverged(f"BIRD runs {running or 'a foreign configuration'} instead of {digest}")
        if lost := self._lost(bird, needed):
            self._undo(bird)
            raise BackendError(f"undone: the configuration lost the sessions {', '.join(sorted(lost))}")
        if bird.request("configure confirm").code != _CONFIRMED:
            raise NotConverged("BIRD went back to the previous configuration before it was confirmed")

    def _lost(self, bird: BirdSocket, needed: frozenset[str]) -> frozenset[str]:
        def lost() -> frozenset[str]:
            return needed - readback.established(bird.stream("show protocols"))

        _poll(lambda: not lost(), min(_HEALTH_SECONDS, self._timeout / 2))
        return lost()

    def _undo(self, bird: BirdSocket) -> None:
        bird.request("configure undo")
        self._over(bird)

    def _over(self, bird: BirdSocket) -> None:
        if not _poll(lambda: bird.request("configure status").text(_DONE) is not None, self._timeout):
            raise Unavailable("BIRD's reconfiguration does not end")


def _clock(bird: BirdSocket) -> readback.Clock:
    return readback.clock(bird.greeting, bird.request("show status"), _digest(bird))


def _digest(bird: BirdSocket) -> str | None:
    return readback.digest(bird.request("eval BIRDCTL_DIGEST", allow=(_NO_DIGEST,)))


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
