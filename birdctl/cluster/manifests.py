"""What the manifests below a folder say.

Read are all `*.yaml`, `*.yml` and `*.json` below it, in every depth, names beginning with a dot left out (editors'
files, and the `..data` of a mounted ConfigMap, whose visible names are links into it). An object that two texts
define is an error that names both, and neither of them counts: nothing tells which one was meant. While a text cannot
be read at all, what its file said before still counts, for nothing tells what is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from birdctl.cluster.decode import KINDS, decode_text, rejected
from birdctl.cluster.events import Rejected, Replaced, replaced
from birdctl.cluster.objects import Object
from birdctl.cluster.store import Key
from birdctl.errors import InputError, Unavailable

SUFFIXES = (".yaml", ".yml", ".json")
ALL_TYPES = tuple(KINDS.values())

SETTLED = 0.01
"""Seconds after its last change that a file counts as written."""

READINGS = 5
"""Times that the folder is read at most until nothing in it was moved meanwhile."""

Signature = tuple[int, int, int]

_UNREAD: Signature = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class File:
    """What one file said when it looked like `signature` (inode, size, time of change)."""

    signature: Signature
    objects: tuple[Object, ...] = ()
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """The manifests below a folder, relative to it, whether a link leads to each, and the folders they lie in."""

    names: dict[str, bool]
    folders: set[tuple[int, int]]


class Manifests:
    """Reads the folder again and again, each file only when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsettled = False
        self._files: dict[str, File] = {}
        self._linked: tuple[str, ...] = ()

    def read(self, *, keep: frozenset[str] = frozenset()) -> dict[type[Object], Replaced]:
        """The complete list of every kind, and under Object the errors of unrecognisable texts.

        A file that was read before is left at that while it is in `keep` or has changed only just now, for it may be
        half written; `unsettled` says whether there was one of the latter. A file that was moved while the folder was
        read is not taken for a removed one. Raises Unavailable when the folder is gone.
        """
        self.unsettled = False
        listing = _listing(self.path)
        for _ in range(READINGS):
            found = {name: file for name in sorted(listing.names) if (file := self._read(name, keep))}
            before, listing = listing, _listing(self.path)
            if listing == before and found.keys() == before.names.keys():
                break
        self._linked = tuple(name for name, linked in listing.names.items() if linked)
        self._files = found
        return _lists(found)

    def forget(self) -> None:
        """Read everything afresh next time, whatever the files' times say."""
        self._files = {name: replace(each, signature=_UNREAD) for name, each in self._files.items()}

    def linked_folders(self) -> frozenset[str]:
        """Folders outside of this one that hold files read through links."""
        root = os.path.realpath(self.path)
        targets = {str(Path(os.path.realpath(self.path / name)).parent) for name in self._linked}
        return frozenset(target for target in targets if target != root and not target.startswith(root + os.sep))

    def _read(self, name: str, keep: frozenset[str]) -> File | None:
        """What the file says, nothing if it is a link to nothing; None when it is no longer there."""
        known = self._files.get(name)
        if known and name in keep:
            return known
        path = f"{self.path}/{name}"
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of thousands of files takes longer than the rest
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if known and known.signature != _UNREAD and (known.signature == signature or self._is_unsettled(status)):
                return known
            return _completed(File(signature, *decode_text(Path(path).read_bytes(), name)), known)
        except FileNotFoundError:
            return File(_UNREAD) if Path(path).is_symlink() else None
        except OSError as error:
            problem = InputError(name, "", error.strerror or str(error))
            return _completed(File(_UNREAD, (), (Rejected(Object, name, problem),)), known)

    def _is_unsettled(self, status: os.stat_result) -> bool:
        just_now = 0 <= time.time_ns() - status.st_mtime_ns < SETTLED * 1e9
        self.unsettled |= just_now
        return just_now


def _completed(file: File, before: File | None) -> File:
    """With what it said before and does not say otherwise now, if a text in it cannot be read."""
    if before is None or not any(each.type is Object for each in file.rejected):
        return file
    told = {(type(each), each.key) for each in file.objects} | {(each.type, each.key) for each in file.rejected}
    return replace(
        file,
        objects=(*file.objects, *(each for each in before.objects if (type(each), each.key) not in told)),
        rejected=(
            *file.rejected,
            *(each for each in before.rejected if each.type is not Object and (each.type, each.key) not in told),
        ),
    )


def _listing(path: Path) -> Listing:
    if not path.is_dir():
        raise Unavailable(f"manifest folder {path}: no such folder")
    visited: set[tuple[int, int]] = set()
    return Listing(dict(_walk(path, "", linked=False, visited=visited)), visited)


def _walk(path: Path, below: str, *, linked: bool, visited: set[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Each manifest and whether a link leads to it. Each folder is visited once."""
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
        through_link = linked or entry.is_symlink()
        if _is_folder(entry):
            yield from _walk(path / entry.name, f"{below}{entry.name}/", linked=through_link, visited=visited)
        elif entry.name.endswith(SUFFIXES):
            yield below + entry.name, through_link


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere is a file that cannot be read
        return False


def _lists(files: dict[str, File]) -> dict[type[Object], Replaced]:
    objects: dict[Key, Object] = {}
    left_out: dict[Key, Rejected] = {}
    places: dict[Key, list[str]] = {}
    for name, file in files.items():
        for item in file.objects:
            objects[item.kind, item.key] = item
            places.setdefault((item.kind, item.key), []).append(name)
        for each in file.rejected:
            left_out[each.type.__name__, each.key] = each
            places.setdefault((each.type.__name__, each.key), []).append(name)
    for key in [key for key, names in places.items() if len(names) > 1]:
        left_out[key] = rejected(KINDS.get(key[0], Object), key[1], {}, _duplicate(key, places[key]))
    types: tuple[type[Object], ...] = (*ALL_TYPES, Object)
    kept: dict[str, list[Object]] = {}
    for key, item in objects.items():
        if key not in left_out:
            kept.setdefault(key[0], []).append(item)
    return {
        type_: replaced(type_, kept.get(type_.__name__, ()), [each for each in left_out.values() if each.type is type_])
        for type_ in types
    }


def _duplicate(key: Key, names: list[str]) -> InputError:
    where = " and ".join(sorted(set(names))) if len(set(names)) > 1 else f"{names[0]} {len(names)} times"
    return InputError(" ".join(key), "", f"is defined in {where}: keep one of them")
