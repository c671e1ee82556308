"""The configuration files: candidate, main file and the last known-good ones.

BIRD reads the main file when it starts, so a candidate is renamed over it only after it was confirmed. Passwords are
in all of these, so nobody but their owner reads them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from birdctl.errors import BackendError
from birdctl.routing.inventory import Inventory, read, write

KEPT = 10

_DIGEST = re.compile(r'^define BIRDCTL_DIGEST = "([^"]*)";', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One configuration that was confirmed. `number` grows; `time` is seconds since the epoch."""

    number: int
    time: float
    digest: str
    sessions: int
    running: bool = False


def digest_of(text: str) -> str | None:
    """The digest that a configuration of ours names; None for any other text."""
    found = _DIGEST.search(text)
    return found[1] if found else None


class ConfigFiles:
    """The main file, the candidate beside it and the history in the runtime directory."""

    def __init__(self, config: Path, runtime_dir: Path) -> None:
        self.main = config
        self.candidate = config.with_name(config.name + ".candidate")
        self._runtime_dir = runtime_dir
        self._history = runtime_dir / "history"

    def write_candidate(self, text: str, inventory: Inventory) -> None:
        """Written whole, or BackendError. The inventory waits beside it in the runtime directory."""
        try:
            _write(self.candidate, text, owner=self.main.parent)
        except OSError as error:
            raise BackendError(f"cannot write {self.candidate}: {error.strerror}") from None
        self._runtime_dir.mkdir(parents=True, exist_ok=True)
        write(self._runtime_dir / "candidate.json", inventory)

    def promote(self, running: str | None) -> None:
        """Makes the candidate the main file if it is what runs, and remembers it as good."""
        text = _read(self.candidate)
        if text is None or running is None or digest_of(text) != running:
            return
        self._remember(text, running)
        _sync(self.candidate)
        self.candidate.replace(self.main)
        _sync(self.main.parent)

    def text(self, digest: str | None) -> str | None:
        """The text that has this digest, wherever it is kept."""
        paths = (self.main, self.candidate, *(self._file(number) for number in reversed(self._numbers())))
        texts = (_read(path) for path in paths)
        return next((text for text in texts if text is not None and digest_of(text) == digest), None)

    def entries(self, running: str | None) -> tuple[HistoryEntry, ...]:
        """The known-good configurations, newest first."""
        return tuple(self._entry(number, running) for number in reversed(self._numbers()))

    def entry(self, number: int) -> tuple[str, Inventory]:
        """Text and inventory of one. Raises BackendError when it is not there (any more)."""
        text, inventory = _read(self._file(number)), read(self._file(number).with_suffix(".json"))
        if text is None or inventory is None:
            raise BackendError(f"no configuration {number} in {self._history}")
        return text, inventory

    def _entry(self, number: int, running: str | None) -> HistoryEntry:
        text, inventory = self.entry(number)
        digest = digest_of(text) or ""
        return HistoryEntry(
            number=number,
            time=self._file(number).stat().st_mtime,
            digest=digest,
            sessions=len(inventory.sessions),
            running=digest == running,
        )

    def _remember(self, text: str, digest: str) -> None:
        """Newest is highest; a configuration that came back moves to the top instead of being there twice."""
        self._history.mkdir(mode=0o700, parents=True, exist_ok=True)
        inventory = read(self._runtime_dir / "candidate.json")
        numbers = self._numbers()
        for number in numbers:
            if digest_of(_read(self._file(number)) or "") == digest:
                self._forget(number)
        for number in numbers[: -KEPT + 1]:
            self._forget(number)
        number = numbers[-1] + 1 if numbers else 1
        if inventory is not None:
            write(self._file(number).with_suffix(".json"), inventory)
            write(self._runtime_dir / "inventory.json", inventory)
        _write(self._file(number), text, owner=self._history)

    def _forget(self, number: int) -> None:
        for suffix in (".conf", ".json"):
            self._file(number).with_suffix(suffix).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._history / f"{number:06}.conf"

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._history.glob("*.conf"))


def _write(path: Path, text: str, *, owner: Path) -> None:
    """Whole or not at all, readable for the owner of the directory alone."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        status = owner.stat()
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        file.write(text)
    new.replace(path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
