"""The system calls that Python 3.11 lacks: mount, umount, pivot_root, unshare, setns, mount_setattr.

Each raises OSError with the path it was about. Names and numbers are those of mount(2), mount_setattr(2), unshare(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_SYS_MOUNT_SETATTR = 442  # the same on every architecture
_MOUNT_ATTR_RDONLY = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: object) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(what))


def mount(source: Path | str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    call = _libc.mount(
        str(source).encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _checked(call, target)


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Shows `source`, with what is mounted below it, at `target`."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        _make_read_only(target)


def _make_read_only(target: Path) -> None:
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    call = _libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, str(target).encode(), _AT_RECURSIVE, attributes, ctypes.sizeof(attributes)
    )
    _checked(call, target)


def private_mounts() -> None:
    """Keeps every later mount of this process to its own mount namespace."""
    mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)


def unmount(target: Path) -> None:
    """Detaches `target` with everything below it."""
    _checked(_libc.umount2(str(target).encode(), MNT_DETACH), target)


def change_root(root: Path, old: Path) -> None:
    """Makes `root` (a mount) the root of this mount namespace; the former one is found at `old`, below it."""
    _checked(_libc.pivot_root(str(root).encode(), str(old).encode()), root)
    os.chdir("/")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def enter(namespace: Path, flag: int) -> None:
    """Moves this process into the namespace behind the file."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(descriptor, flag), namespace)
    finally:
        os.close(descriptor)


@contextmanager
def inside_network(namespace: Path) -> Iterator[None]:
    """Within, this thread and the programs it starts are in the network namespace behind the file."""
    with Path("/proc/thread-self/ns/net").open() as back:
        enter(namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            enter(Path(f"/proc/self/fd/{back.fileno()}"), CLONE_NEWNET)


def set_hostname(name: str) -> None:
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, len(encoded)), name)
