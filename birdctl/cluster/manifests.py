"""What the manifests below a folder say.

Read are all `*.yaml`, `*.yml` and `*.json` below it, in every depth, names beginning with a dot left out (editors'
files, and the `..data` of a mounted ConfigMap, whose visible names are links into it). An object that two texts
define is an error that names both, and neither of them counts: nothing tells which one was meant.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from birdctl.cluster.decode import KINDS, decode_text
from birdctl.cluster.events import Rejected, Replaced
from birdctl.cluster.objects import Object
from birdctl.cluster.store import Key
from birdctl.errors import InputError, Unavailable

SUFFIXES = (".yaml", ".yml", ".json")
ALL_TYPES = tuple(KINDS.values())

SETTLED = 0.01
"""Seconds after its last change that a file counts as written."""

Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class File:
    """What one file said when it looked like `signature` (inode, size, time of change)."""

    signature: Signature
    objects: tuple[Object, ...] = ()
    rejected: tuple[Rejected, ...] = ()


class Manifests:
    """Reads the folder again and again, each file only when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsettled = False
        self._files: dict[str, File] = {}

    def read(self, *, keep: frozenset[str] = frozenset()) -> dict[type[Object], Replaced]:
        """The complete list of every kind, and under Object the errors of unrecognisable texts.

        A file that was read before is left at that while it is in `keep` or has changed only just now, for it may be
        half written; `unsettled` says whether there was one of the latter. Raises Unavailable when the folder is gone.
        """
        self.unsettled = False
        self._files = {name: self._read(name, keep) for name in _names(self.path)}
        return _lists(self._files)

    def forget(self) -> None:
        """Read everything afresh next time, whatever the files' times say."""
        self._files = {}

    def linked_folders(self) -> frozenset[str]:
        """Folders outside of this one that hold files read through links."""
        root = os.path.realpath(self.path)
        targets = {str((self.path / name).resolve().parent) for name in self._files}
        return frozenset(target for target in targets if target != root and not target.startswith(root + os.sep))

    def _read(self, name: str, keep: frozenset[str]) -> File:
        known = self._files.get(name)
        if known and name in keep:
            return known
        path = self.path / name
        try:
            status = path.stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if known and (known.signature == signature or self._is_unsettled(status)):
                return known
            return File(signature, *decode_text(path.read_bytes(), name))
        except FileNotFoundError:
            return File((0, 0, 0))
        except OSError as error:
            problem = InputError(name, "", error.strerror or str(error))
            return File((0, 0, 0), (), (Rejected(Object, name, problem),))

    def _is_unsettled(self, status: os.stat_result) -> bool:
        just_now = 0 <= time.time_ns() - status.st_mtime_ns < SETTLED * 1e9
        self.unsettled |= just_now
        return just_now


def _names(path: Path) -> list[str]:
    """The manifests below `path`, relative to it, sorted. Links are followed, each folder is visited once."""
    if not path.is_dir():
        raise Unavailable(f"manifest folder {path}: no such folder")
    return sorted(_walk(path, "", set()))


def _walk(path: Path, below: str, visited: set[tuple[int, int]]) -> Iterator[str]:
    try:
        status = path.stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"manifest folder {path}: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(path / entry.name, f"{below}{entry.name}/", visited)
        elif entry.name.endswith(SUFFIXES):
            yield below + entry.name


def _lists(files: dict[str, File]) -> dict[type[Object], Replaced]:
    objects: dict[Key, Object] = {}
    errors: dict[Key, InputError] = {}
    places: dict[Key, list[str]] = {}
    for name, file in files.items():
        for item in file.objects:
            objects[item.kind, item.key] = item
            places.setdefault((item.kind, item.key), []).append(name)
        for rejected in file.rejected:
            errors[rejected.type.__name__, rejected.key] = rejected.error
            places.setdefault((rejected.type.__name__, rejected.key), []).append(name)
    for key in [key for key, names in places.items() if len(names) > 1]:
        errors[key] = _duplicate(key, places[key])
    types: tuple[type[Object], ...] = (*ALL_TYPES, Object)
    return {
        type_: Replaced(
            type_,
            tuple(item for key, item in objects.items() if key[0] == type_.__name__ and key not in errors),
            {key[1]: error for key, error in errors.items() if key[0] == type_.__name__},
        )
        for type_ in types
    }


def _duplicate(key: Key, names: list[str]) -> InputError:
    where = " and ".join(sorted(set(names))) if len(set(names)) > 1 else f"{names[0]} {len(names)} times"
    return InputError(" ".join(key), "", f"is defined in {where}: keep one of them")
