"""Says when something below a folder changed; by `watchdog`.

Watched are the folder in every depth, its parent (the folder may be a link, or come back after it was removed), and
the folders that links lead to. Which files are open for writing is remembered, so that nobody reads half a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirModifiedEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileModifiedEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

HALF_WRITTEN = 1.0
"""Seconds after its last write that a file counts as being written when nobody closes it."""


@dataclass(frozen=True)
class _Target:
    folder: str
    recursive: bool = False

    def identity(self) -> tuple[int, int] | None:
        """Which folder it is now: one that was removed and made again needs a new watch."""
        try:
            status = Path(self.folder).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


class FolderNotice(FileSystemEventHandler):
    """Calls `notice` from a thread of its own after every change that can matter."""

    def __init__(self, path: Path, notice: Callable[[], None]) -> None:
        self._path = path
        self._notice = notice
        self._watches: dict[tuple[_Target, tuple[int, int]], ObservedWatch] = {}
        self._written: dict[str, float] = {}
        self._observer = Observer()
        self._observer.start()

    def watch(self, linked: frozenset[str]) -> bool:
        """Watch what has to be watched now; whether the folder itself could be."""
        root = _Target(os.path.realpath(self._path), recursive=True)
        wanted = {root, _Target(str(self._path.parent.resolve())), *map(_Target, linked)}
        present = {(target, identity) for target in wanted if (identity := target.identity())}
        for gone in self._watches.keys() - present:
            self._observer.unschedule(self._watches.pop(gone))
        for target, identity in present - self._watches.keys():
            watch = self._observer.schedule(self, target.folder, recursive=target.recursive)
            self._watches[target, identity] = watch
        return any(target == root for target, _ in self._watches)

    def being_written(self) -> frozenset[str]:
        """Files, relative to the folder, that were written to and not closed yet."""
        now = time.monotonic()
        self._written = {name: at for name, at in self._written.items() if now - at < HALF_WRITTEN}
        return frozenset(self._written)

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        name = os.path.relpath(os.fsdecode(event.src_path), os.path.realpath(self._path))
        match event:
            case FileOpenedEvent() | FileClosedNoWriteEvent() | DirModifiedEvent():
                return
            case FileModifiedEvent():
                self._written[name] = time.monotonic()
                return
            case FileClosedEvent():
                self._written.pop(name, None)
        self._notice()
