"""What a node sees of the machine: its folders read-only; /run, /tmp, /var/tmp and /etc/bird are the node's own.

Runs in the node's first process, in a mount namespace of its own. A bind whose target does not exist gets one without
the machine noticing: the folder it belongs in is first covered by a copy made of mounts.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from pathlib import Path

import birdctl
from birdctl import syscalls
from birdctl.lab.topology import Bind

_MACHINE = Path("/.machine")  # where the machine's root stands while the node's is built
_VIEW = Path("/.view")
_OWN = ("/run", "/tmp", "/var/tmp", "/etc/bird")  # noqa: S108 - the node's, not the machine's
_SYSTEM = ("proc", "sys", "dev", "run", "tmp")


def build(folder: Path, binds: Iterable[Bind]) -> None:
    """Gives this process, whose mount namespace must be its own, the root of a node that keeps its files in `folder`.

    Raises OSError naming the path at fault.
    """
    _take_root(folder / "root")
    for entry in _MACHINE.iterdir():
        if entry.name not in _SYSTEM:
            _show(entry, Path("/", entry.name), read_only=True)
    for name in _SYSTEM:
        Path("/", name).mkdir()
    syscalls.mount("proc", Path("/proc"), "proc")
    syscalls.mount("sysfs", Path("/sys"), "sysfs")
    syscalls.bind(_MACHINE / "dev", Path("/dev"))
    for target in _OWN:
        _own(folder, Path(target))
    _show_program()
    for bind in binds:
        _bind(folder, bind)
    syscalls.unmount(_MACHINE)
    _MACHINE.rmdir()


def _take_root(root: Path) -> None:
    """A new, empty root, the machine's below it."""
    syscalls.private_mounts()
    root.mkdir(exist_ok=True)
    syscalls.mount("tmpfs", root, "tmpfs", data="mode=755")
    Path(root, _MACHINE.name).mkdir()
    syscalls.change_root(root, Path(root, _MACHINE.name))


def _own(folder: Path, target: Path) -> None:
    source = Path(f"{_MACHINE}{folder}", str(target).strip("/").replace("/", "-"))
    source.mkdir(exist_ok=True)
    _mount_point(target, folder=True)
    syscalls.bind(source, target)


def _show_program() -> None:
    """Keeps birdctl and its interpreter at their own paths, also when these are below /tmp or /run."""
    for path in sorted({Path(sys.base_prefix), Path(sys.prefix), Path(birdctl.__file__).parents[1]}):
        if not path.exists():
            _mount_point(path, folder=True)
            syscalls.bind(Path(f"{_MACHINE}{path}"), path, read_only=True)


def _bind(folder: Path, bind: Bind) -> None:
    target = Path(bind.target)
    if bind.source is None:
        _own(folder, target)
        return
    source = Path(f"{_MACHINE}{bind.source}")
    _mount_point(target, folder=source.is_dir())
    syscalls.bind(source, target, read_only=bind.read_only)


def _mount_point(target: Path, *, folder: bool) -> None:
    if target.exists():
        return
    _mount_point(target.parent, folder=True)
    try:
        _create(target, folder=folder)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        _cover(target.parent)
        _create(target, folder=folder)


def _create(target: Path, *, folder: bool) -> None:
    if folder:
        target.mkdir()
    else:
        target.touch()


def _cover(folder: Path) -> None:
    """Lays a writable folder with the same entries over a read-only one."""
    _VIEW.mkdir()
    syscalls.bind(folder, _VIEW)
    syscalls.mount("tmpfs", folder, "tmpfs", data="mode=755")
    for entry in _VIEW.iterdir():
        _show(entry, folder / entry.name, read_only=False)
    syscalls.unmount(_VIEW)
    _VIEW.rmdir()


def _show(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    _create(target, folder=source.is_dir())
    syscalls.bind(source, target, read_only=read_only)
