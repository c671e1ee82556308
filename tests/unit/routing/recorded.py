"""Replies of real BIRDs, recorded by `replies/record.py`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from birdctl.routing import readback
from birdctl.routing.protocol import Line, LineReader, Reply

FOLDER = Path(__file__).parent / "replies"
VERSIONS = tuple(sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit()))


def raw(version: str, name: str) -> bytes:
    return (FOLDER / version / f"{name}.txt").read_bytes()


def lines(version: str, name: str) -> list[Line]:
    return LineReader().feed(raw(version, name))


def reply(version: str, name: str) -> Reply:
    return Reply(tuple(lines(version, name)))


def now(version: str) -> datetime:
    """BIRD's clock when the replies were recorded."""
    return readback.clock(f"BIRD {version} ready.", reply(version, "status"), None).now
