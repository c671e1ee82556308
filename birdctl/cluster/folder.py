"""A folder of manifests as the source of cluster objects, watched.

A file that is being written is read when its writer closes it, a renamed or relinked one at once. While the folder is
gone nothing is emitted.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from birdctl.cluster.events import Replaced
from birdctl.cluster.manifests import ALL_TYPES, Manifests
from birdctl.cluster.objects import Object
from birdctl.cluster.source import Emit
from birdctl.cluster.store import Cluster
from birdctl.errors import Unavailable

if TYPE_CHECKING:
    from birdctl.cluster.foldernotice import FolderNotice

log = logging.getLogger(__name__)

QUIET = 0.01
"""Seconds without a notice after which the folder is read; at most ten times as long."""
RETRY = 1.0
"""Seconds between two looks for a folder that is gone."""


def load_folder(path: Path) -> Cluster:
    """The store of everything in the folder, read once. Raises Unavailable when there is no such folder."""
    cluster = Cluster()
    for replaced in Manifests(path).read().values():
        cluster.apply(replaced)
    return cluster


class FolderSource:
    """Source of the manifests below `path`."""

    kind = "manifests"
    types: tuple[type[Object], ...] = ALL_TYPES

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error = ""
        self._manifests = Manifests(path)
        self._emitted: dict[type[Object], Replaced] = {}
        self._reading = threading.Lock()
        self._noticed = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="manifests", daemon=True)
        self._emit: Emit = lambda _: None

    @property
    def healthy(self) -> bool:
        return not self.error

    def start(self, emit: Emit) -> None:
        self._emit = emit
        self._thread.start()

    def refresh(self) -> None:
        with self._reading:
            self._manifests.forget()
            self._read(frozenset())

    def stop(self) -> None:
        self._stopped = True
        self._noticed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._try_read(frozenset())
        from birdctl.cluster.foldernotice import FolderNotice  # noqa: PLC0415 - after the first objects are out

        notice = FolderNotice(self.path, self._noticed.set)
        try:
            while not self._stopped:
                self._read_and_wait(notice)
        finally:
            notice.stop()

    def _read_and_wait(self, notice: FolderNotice) -> None:
        self._try_read(notice.being_written())
        if notice.watch(self._manifests.linked_folders()):
            return  # what changed before it was watched is still to be read
        if self._manifests.unsettled:
            self._noticed.wait(QUIET)
        else:
            unfinished = self.error or notice.being_written() or not notice.complete
            self._noticed.wait(RETRY if unfinished else None)
        self._settle()

    def _settle(self) -> None:
        """Wait until the notices pause."""
        deadline = time.monotonic() + 10 * QUIET
        while not self._stopped and self._noticed.is_set() and time.monotonic() < deadline:
            self._noticed.clear()
            self._noticed.wait(QUIET)
        self._noticed.clear()

    def _try_read(self, keep: frozenset[str]) -> None:
        try:
            with self._reading:
                self._read(keep)
        except Unavailable as error:
            if not self.error:
                log.warning("%s: keeping everything as it is", error)
            self.error = str(error)
        except Exception as error:  # a bug must not end the only thread that knows of changes
            log.exception("manifest folder %s", self.path)
            self.error = str(error)

    def _read(self, keep: frozenset[str]) -> None:
        for type_, replaced in self._manifests.read(keep=keep).items():
            if self._emitted.get(type_) != replaced and not self._stopped:
                self._emitted[type_] = replaced
                self._emit(replaced)
        self.error = ""
