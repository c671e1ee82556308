"""The configuration files: the main file, the candidate and the known-good ones.

    bird.conf, bird.conf.candidate      where BIRD reads them; the candidate is renamed over the main file
                                        only when it was confirmed, because BIRD reads that when it starts
    RUNTIME/inventory.json              the names behind what runs
    RUNTIME/history/000012-DIGEST/      text and inventory of a configuration that was confirmed

There are passwords in all texts, so only their owner reads them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from birdctl.errors import BackendError
from birdctl.routing import inventory as inventories
from birdctl.routing.inventory import Inventory

KEPT = 10

_DIGEST = re.compile(r'^define BIRDCTL_DIGEST = "([^"]*)";', re.MULTILINE)
_TEXT = "bird.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One configuration that was confirmed. `number` grows; `time`, of its confirm, in seconds since the epoch."""

    number: int
    time: float
    digest: str
    sessions: int
    prefixes: int
    running: bool = False


def digest_of(text: str) -> str | None:
    """The digest that a configuration of ours names; None for any other text."""
    found = _DIGEST.search(text)
    return found[1] if found else None


class ConfigFiles:
    """The files of one BIRD. Every method raises BackendError when a file cannot be read or written."""

    def __init__(self, config: Path, runtime_dir: Path) -> None:
        self.main = config
        self.candidate = config.with_name(config.name + ".candidate")
        self._runtime = runtime_dir
        self._history = runtime_dir / "history"
        self._staged = self._history / "staged"

    @property
    def main_digest(self) -> str | None:
        """The digest that the main file names."""
        text = _read(self.main)
        return digest_of(text) if text else None

    def lock(self) -> IO[str]:
        """The file whose lock a commit holds."""
        path = self._runtime / "commit.lock"
        with writing(path):
            self._runtime.mkdir(parents=True, exist_ok=True)
            return path.open("w")

    def holds(self, text: str, inventory: Inventory) -> bool:
        """Whether main file and inventory are these already."""
        return _read(self.main) == text and inventories.read(self._runtime) == inventory

    def stage(self, text: str, inventory: Inventory) -> None:
        """Puts text and inventory where `promote` finds them, also in another process."""
        with writing(inventories.path(self._staged)):
            self._staged.mkdir(mode=0o700, parents=True, exist_ok=True)
            inventories.write(self._staged, inventory)
        with writing(self.candidate):
            _write(self.candidate, text)

    def promote(self, running: str | None) -> None:
        """Remembers the candidate as good and makes it the main file, if it is what runs. May be repeated."""
        text = _read(self.candidate)
        if text is None or running is None or digest_of(text) != running:
            return
        with writing(self._history):
            self._remember(text, running)
            for folder in self._folders(running):
                if inventory := inventories.read(folder):
                    inventories.write(self._runtime, inventory)
        with writing(self.main):
            _sync(self.candidate)
            self.candidate.replace(self.main)
            _sync(self.main.parent)

    def overwrite(self, text: str) -> None:
        """Makes `text` the main file, past candidate and history: for what BIRD runs without birdctl."""
        with writing(self.main):
            _write(self.main, text)
            self.candidate.unlink(missing_ok=True)

    def text(self, digest: str) -> str | None:
        """The text that has this digest, wherever it is kept."""
        paths = (self.main, self.candidate, *(folder / _TEXT for folder in self._folders(digest)))
        return next((text for path in paths if (text := _read(path)) and digest_of(text) == digest), None)

    def entries(self, running: str | None) -> tuple[HistoryEntry, ...]:
        """The known-good configurations, newest first."""
        return tuple(_entry(folder, running) for folder in reversed(self._folders()))

    def entry(self, number: int) -> tuple[str, Inventory]:
        """Text and inventory of one. Raises BackendError when it is not there (any more)."""
        for folder in self._folders():
            if _number(folder) == number and (text := _read(folder / _TEXT)) and (known := inventories.read(folder)):
                return text, known
        raise BackendError(f"there is no configuration {number} in the history (see `birdctl history`)")

    def _remember(self, text: str, digest: str) -> None:
        """A configuration that comes back moves to the top instead of being there twice."""
        staged = inventories.read(self._staged)
        if staged is None or staged.digest != digest:
            return
        _write(self._staged / _TEXT, text)
        known, back = self._folders(), self._folders(digest)
        number = _number(known[-1]) + 1 if known else 1
        self._staged.rename(self._history / f"{number:06}-{digest}")
        for folder in {*back, *known[: -KEPT + 1]}:
            _remove(folder)

    def _folders(self, digest: str = "*") -> list[Path]:
        """Oldest first; a folder that a crash left half removed is none."""
        return sorted(path.parent for path in self._history.glob(f"[0-9]*-{digest}/{_TEXT}"))


def _number(folder: Path) -> int:
    return int(folder.name.partition("-")[0])


def _entry(folder: Path, running: str | None) -> HistoryEntry:
    digest, inventory = folder.name.partition("-")[2], inventories.read(folder)
    return HistoryEntry(
        number=_number(folder),
        time=(folder / _TEXT).stat().st_mtime,
        digest=digest,
        sessions=len(inventory.sessions) if inventory else 0,
        prefixes=sum(map(len, inventory.originated.values())) if inventory else 0,
        running=digest == running,
    )


def _remove(folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        file.unlink()
    folder.rmdir()


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for the owner of the folder alone: the user that BIRD runs as."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        folder = path.parent.stat()
        if folder.st_uid != os.geteuid():
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        file.write(text)
    new.replace(path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}") from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, an OSError becomes a BackendError. That of a full disk does not name the file: then it is `path`."""
    try:
        yield
    except OSError as error:
        raise BackendError(f"cannot write {error.filename or path}: {error.strerror}") from None
