"""The BIRDs that the machine has: the system's own, and those of Debian 13 that `tests/setup/birds.sh` caches.

A cached BIRD runs through its own root's dynamic loader, not in a chroot: it sees the same files, and needs no root
rights to check a configuration.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# How tests call them: the system's (2.0.12 on Debian 12), the oldest of the supported 2.17 line, and BIRD 3.
NAMES = ("system", "bird2", "bird3")


@dataclass(frozen=True)
class BirdProgram:
    """One installed BIRD: how to start it, and its version (2, 0, 12)."""

    name: str
    command: tuple[str, ...]
    version: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))

    def check(self, text: str) -> str:
        """What `bird -p` says about a configuration; warnings left out, empty when it is accepted."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "bird.conf")
            path.write_text(text)
            result = subprocess.run([*self.command, "-p", "-c", path], capture_output=True, text=True, check=False)
        return "" if result.returncode == 0 else result.stderr or f"exit status {result.returncode}"


def bird_program(name: str) -> BirdProgram:
    """One of NAMES. Raises AssertionError with the remedy when it is not installed."""
    command = _system() if name == "system" else _cached(name)
    found = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    numbers = (found.stdout + found.stderr).split()[-1]
    return BirdProgram(name, command, tuple(int(number) for number in numbers.split(".")))


def bird_programs() -> tuple[BirdProgram, ...]:
    return tuple(bird_program(name) for name in NAMES)


def _system() -> tuple[str, ...]:
    path = shutil.which("bird", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert path, "BIRD is not installed: apt-get install bird2"
    return (path,)


def _cached(name: str) -> tuple[str, ...]:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.get("BIRDCTL_CACHE") or caches / "birdctl") / f"trixie-{name}"
    program = root / "usr/sbin/bird"
    assert program.exists(), f"{program} is missing: run tests/setup/birds.sh"
    loader = next(root.glob("lib*/ld-linux*"))
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu*"))
    return (str(loader), "--library-path", libraries, str(program))
