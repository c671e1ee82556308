"""Sessions as people know them: BIRD's state joined with the names of the inventory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from msgspec import UNSET

from birdctl.observe.bfd import word
from birdctl.observe.views import BfdWord, FamilyCounts, Peer, PeerKind
from birdctl.routing.inventory import Inventory, SessionNames, of_protocol
from birdctl.routing.state import BfdState, SessionState


def peers(inventory: Inventory, sessions: Iterable[SessionState], bfd: Iterable[BfdState] = ()) -> tuple[Peer, ...]:
    """One view per session of BIRD, by peer's name. A session that is not in the inventory was not made by birdctl: it
    goes by its protocol's name, as an external peer.
    """
    words = {str(each.address): word(each) for each in bfd}
    views = [_peer(inventory.node, each, of_protocol(inventory.sessions, each.protocol), words) for each in sessions]
    return tuple(sorted(views, key=lambda each: (each.peer, each.protocol)))


def _peer(node: str, state: SessionState, names: SessionNames | None, words: dict[str, BfdWord]) -> Peer:
    address = str(state.address) if state.address else names.address if names else None
    return Peer(
        node=node,
        peer=names.peer if names else state.protocol,
        type=cast("PeerKind", str(names.type)) if names else "external",
        state=state.state,
        protocol=state.protocol,
        address=address,
        remote_as=state.remote_asn or (names.remote_asn if names else None),
        local_as=state.local_asn or (names.local_asn if names else None),
        uptime_seconds=None if state.uptime is None else int(state.uptime),
        flaps=state.flaps,
        hold_time_seconds=state.hold_time,
        router_id=state.router_id or None,
        last_error=state.last_error or None,
        bfd=words.get(address or "", "none") if names and names.bfd else None,
        families=_families(state, names),
    )


def _families(state: SessionState, names: SessionNames | None) -> dict[str, FamilyCounts]:
    limits = names.limits if names else {}
    return {
        each.family.label: FamilyCounts(
            received=each.received,
            filtered=each.filtered,
            accepted=each.accepted,
            advertised=each.advertised,
            limit=limits.get(each.family.label, UNSET) if each.limit is None else each.limit,
        )
        for each in state.channels
    }
