"""One row per BFD session (RFC 5880); times in seconds."""

from __future__ import annotations

import argparse
from typing import cast, get_args

from msgspec.structs import replace

from birdctl.cli import show
from birdctl.cli.age import age
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.observe.views import BfdSession, BfdWord
from birdctl.routing.state import BfdState

COLUMNS: tuple[Column[BfdSession], ...] = (
    Column("NODE", lambda each: each.node),
    Column("PEER", lambda each: each.peer),
    Column("ADDRESS", lambda each: each.address),
    Column("INTERFACE", lambda each: each.interface),
    Column("STATE", lambda each: each.state, tone=lambda each: "good" if each.state == "up" else "bad"),
    Column("SINCE", lambda each: age(each.since_seconds)),
    Column("INTERVAL", lambda each: each.interval_seconds, wide=True),
    Column("TIMEOUT", lambda each: each.timeout_seconds, wide=True),
)

VIEW: View[BfdSession, BfdSession] = View(
    kind="BFDSessionList",
    what="BFD sessions",
    columns=COLUMNS,
    name=lambda each: f"bfd/{each.node}/{each.peer or each.address}",
    steady=lambda each: replace(each, since_seconds=None),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)


def run(args: argparse.Namespace) -> int:
    return show.run(args, VIEW, show.Reader(read))


def read(place: Place) -> list[BfdSession]:
    """The BFD sessions of one node, by address. Raises Unavailable, BackendError."""
    peers = {names.address: names.peer for names in place.inventory().sessions.values() if names.address}
    states = sorted(place.bird().bfd(), key=lambda state: (state.address.version, state.address.packed))
    return [_session(place.node, state, peers.get(str(state.address))) for state in states]


def _session(node: str, state: BfdState, peer: str | None) -> BfdSession:
    return BfdSession(
        node=node,
        address=str(state.address),
        state=cast("BfdWord", state.state) if state.state in get_args(BfdWord) else "down",
        peer=peer,
        interface=state.interface or None,
        since_seconds=None if state.since is None else int(state.since),
        interval_seconds=state.interval,
        timeout_seconds=state.timeout,
    )
