"""BFD sessions as people know them: BIRD's state joined with the names of the inventory."""

from __future__ import annotations

from collections.abc import Iterable

from birdctl.addresses import sort_key
from birdctl.observe.views import BfdSession, BfdWord
from birdctl.routing.inventory import Inventory
from birdctl.routing.state import BfdState

_WORDS: dict[str, BfdWord] = {"up": "up", "down": "down", "admindown": "down", "init": "init"}


def word(state: BfdState) -> BfdWord:
    return _WORDS.get(state.state, "none")


def bfd_sessions(inventory: Inventory, states: Iterable[BfdState]) -> tuple[BfdSession, ...]:
    """One view per session, by address."""
    names = {each.address: each.peer for each in inventory.sessions.values() if each.address}
    return tuple(
        BfdSession(
            node=inventory.node,
            address=str(each.address),
            state=word(each),
            peer=names.get(str(each.address)),
            interface=each.interface or None,
            since_seconds=None if each.since is None else int(each.since),
            interval_seconds=each.interval,
            timeout_seconds=each.timeout,
        )
        for each in sorted(states, key=lambda each: sort_key(each.address))
    )
