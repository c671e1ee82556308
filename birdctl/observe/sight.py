"""Everything BIRD says at one moment."""

from __future__ import annotations

import time

import msgspec

from birdctl.errors import BackendError
from birdctl.observe.peers import peers
from birdctl.observe.views import Peer
from birdctl.routing.commit import BirdBackend
from birdctl.routing.inventory import Inventory
from birdctl.routing.state import BfdState, BirdStatus, SessionState


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is monotonic; `peers` are the sessions under their names."""

    status: BirdStatus
    sessions: tuple[SessionState, ...]
    bfd: tuple[BfdState, ...]
    peers: tuple[Peer, ...]
    at: float

    @property
    def carrying(self) -> int:
        """Sessions that are Established and through with the initial exchange (RFC 4724 End-of-RIB)."""
        return sum(each.end_of_rib for each in self.sessions)


def see(backend: BirdBackend, inventory: Inventory) -> Sight | None:
    """None when BIRD does not answer."""
    try:
        status, sessions = backend.status(), backend.sessions()
        bfd = backend.bfd() if any(each.bfd for each in inventory.sessions.values()) else ()
    except BackendError:
        return None
    views = peers(inventory, sessions, bfd)
    return Sight(status=status, sessions=sessions, bfd=bfd, peers=views, at=time.monotonic())
