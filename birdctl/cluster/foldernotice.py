"""Says when something below a folder changed; by `watchdog`.

Watched are the folder in every depth, its parent (the folder may be a link, or come back after it was removed), and
the folders that links lead to. Which files are open for writing is remembered, so that nobody reads half a file.
"""

from __future__ import annotations

import logging
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

log = logging.getLogger(__name__)

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
    """Calls `notice` from a thread of its own after every change that can matter.

    `complete` is false while something cannot be watched.
    """

    def __init__(self, path: Path, notice: Callable[[], None]) -> None:
        self._path = path
        self._notice = notice
        self._watches: dict[tuple[_Target, tuple[int, int]], ObservedWatch] = {}
        self._written: dict[str, float] = {}
        self._entry = str(Path(os.path.realpath(path.parent), path.name))
        self._read_from: tuple[str, ...] = ()
        self.complete = False
        self._observer = Observer()
        self._observer.start()

    def watch(self, linked: frozenset[str]) -> bool:
        """Watch the folder as it is now and these others; whether anything is watched that was not before."""
        root = _Target(os.path.realpath(self._path), recursive=True)
        wanted = {root, _Target(os.path.realpath(self._path.parent)), *map(_Target, linked)}
        present = {(target, identity) for target in wanted if (identity := target.identity())}
        self._read_from = (root.folder + os.sep, *(folder + os.sep for folder in linked))
        for gone in self._watches.keys() - present:
            self._observer.unschedule(self._watches.pop(gone))
        new = present - self._watches.keys()
        scheduled = [self._schedule(target, identity) for target, identity in new]
        self.complete = all(scheduled)
        return self.complete and bool(new)

    def _schedule(self, target: _Target, identity: tuple[int, int]) -> bool:
        try:
            watch = self._observer.schedule(self, target.folder, recursive=target.recursive)
        except OSError as error:  # gone again, or no more inotify watches to be had
            log.warning("cannot watch %s, looking at it every second: %s", target.folder, error)
            return False
        self._watches[target, identity] = watch
        return True

    def being_written(self) -> frozenset[str]:
        """Files, relative to the folder, that were written to and not closed yet."""
        for name, at in list(self._written.items()):
            if time.monotonic() - at >= HALF_WRITTEN:
                self._written.pop(name, None)
        return frozenset(self._written)

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        if not any(path == self._entry or path.startswith(self._read_from) for path in paths):
            return
        name = os.path.relpath(paths[0], os.path.realpath(self._path))
        match event:
            case FileOpenedEvent() | FileClosedNoWriteEvent() | DirModifiedEvent():
                return
            case FileModifiedEvent():
                self._written[name] = time.monotonic()
                return
            case FileClosedEvent():
                self._written.pop(name, None)
        self._notice()
