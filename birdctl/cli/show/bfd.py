"""One row per BFD session (RFC 5880); times in seconds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from msgspec.structs import replace

from birdctl.cli import show
from birdctl.cli.age import age
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.states import node_states
from birdctl.cli.tables import Column
from birdctl.observe.bfd import bfd_sessions
from birdctl.observe.views import BfdSession

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
    return show.run(
        args, VIEW, show.Reader(read, lambda settings: (each for state in node_states(settings) for each in state.bfd))
    )


def read(place: Place) -> Iterable[BfdSession]:
    """The BFD sessions of one node, by address. Raises Unavailable, BackendError."""
    return bfd_sessions(place.inventory(), place.bird().bfd())
