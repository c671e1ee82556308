"""The network namespaces of this node's pods, found by looking: no container runtime has to be asked.

A runtime keeps the namespace of a pod as a file in a folder, or as that of the pod's processes alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import iglob
from pathlib import Path

from birdctl.errors import Unavailable
from birdctl.netfilter.rtnetlink import RouteNetlink

_OWN = Path("/proc/thread-self/ns/net")
_PLACES = ("/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net")


def other_kernels() -> Iterator[RouteNetlink]:
    """The network of each namespace but this thread's own, open until the next one is asked for.

    What must not be entered (without CAP_SYS_ADMIN) is left out.
    """
    from birdctl import syscalls  # noqa: PLC0415 - ctypes, only for who has direct server return

    for path in _others():
        try:
            with syscalls.inside_network(path):
                kernel = RouteNetlink(f"namespace {path}")
        except (OSError, Unavailable):
            continue
        with kernel:
            yield kernel


def own_number() -> int:
    """What tells this thread's namespace from others as long as it exists."""
    return _OWN.stat().st_ino


def _others() -> Iterator[Path]:
    """One path of every namespace that can be seen, but this thread's own. Each may go at any time."""
    seen = {_identity(_OWN)}
    for path in (path for place in _PLACES for path in iglob(place)):  # noqa: PTH207 - half the price of Path.glob
        identity = _identity(path)
        if identity and identity not in seen:
            seen.add(identity)
            yield Path(path)


def _identity(path: Path | str) -> tuple[int, int] | None:
    """None for what has gone, or may not be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of hundreds of processes
    except OSError:
        return None
    return found.st_dev, found.st_ino
