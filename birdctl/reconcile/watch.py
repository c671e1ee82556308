"""BIRD between passes: is it there, does it still run what was committed, which sessions are up.

One restricted connection lives as long as the daemon does, and its end is the signal that the daemon went: the loop
selects on it. A look costs BIRD and the agent well under a millisecond.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from birdctl.errors import BackendError
from birdctl.routing import readback
from birdctl.routing.bird import BirdSocket

_NO_DIGEST = 9001


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look saw: the digest of what runs (None: not ours), and the protocols whose session is Established."""

    digest: str | None
    established: frozenset[str]


class BirdWatch:
    """Looks at one BIRD. `error` says why the last look failed; empty when it did not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: BirdSocket | None = None
        self.error = "not tried yet"

    def filenos(self) -> list[int]:
        """The open connection, if there is one: readable when BIRD has closed it."""
        return [self._connection.fileno()] if self._connection else []

    def look(self) -> Look | None:
        """None when BIRD is not there; the next look connects anew."""
        try:
            if self._connection is None:
                self._connection = BirdSocket(self._path)
            look = Look(
                digest=readback.digest(self._connection.request("eval BIRDCTL_DIGEST", allow=(_NO_DIGEST,))),
                established=readback.established(self._connection.stream("show protocols")),
            )
        except BackendError as error:
            self.close()
            self.error = str(error)
            return None
        self.error = ""
        return look

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
