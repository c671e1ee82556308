"""Going back by hand, so that it lasts.

What was rolled back from is remembered, and a plan to go there again refuses itself: until the objects say something
else, or somebody forces it.
"""

from __future__ import annotations

from pathlib import Path

from birdctl.routing.commit import BirdBackend, CommitResult
from birdctl.routing.history import writing


def roll_back(backend: BirdBackend, runtime_dir: Path, to: int | None = None) -> CommitResult:
    """Has BIRD run the configuration numbered `to` of the history, or the newest one that does not run.

    Raises what `BirdBackend.rollback` raises, and BackendError when it would not last.
    """
    before = backend.status().digest
    result = backend.rollback(to)
    if before:
        with writing(_path(runtime_dir)):
            _path(runtime_dir).write_text(before)
    return result


def rolled_back_from(runtime_dir: Path) -> str | None:
    """The digest nobody should go to again unasked; None when there is none."""
    try:
        return _path(runtime_dir).read_text()
    except FileNotFoundError:
        return None


def forget(runtime_dir: Path) -> None:
    """Nobody was told to stay away from anything. Raises BackendError."""
    with writing(_path(runtime_dir)):
        _path(runtime_dir).unlink(missing_ok=True)


def _path(runtime_dir: Path) -> Path:
    return runtime_dir / "rolled-back"
