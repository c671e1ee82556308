"""One row per session; `-o wide` has one per session and family. SENT and RECV count prefixes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from birdctl.cli import show
from birdctl.cli.age import age
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.states import node_states
from birdctl.cli.tables import Column
from birdctl.observe import peers
from birdctl.observe.views import FamilyCounts, Peer
from birdctl.settings import Settings


@dataclass(frozen=True, slots=True)
class Row:
    """A session, or one family of it."""

    peer: Peer
    family: str = ""

    def count(self, of: Callable[[FamilyCounts], int]) -> int:
        counted = self.peer.families
        return sum(of(counts) for family, counts in counted.items() if self.family in ("", family))

    @property
    def limit(self) -> object:
        return self.peer.families[self.family].limit or None if self.family else None


def _rows(peer: Peer, wide: bool) -> Iterable[Row]:
    return [Row(peer, family) for family in peer.families] or [Row(peer)] if wide else [Row(peer)]


def _state_tone(row: Row) -> str:
    return "good" if row.peer.state == "Established" else "bad"


COLUMNS: tuple[Column[Row], ...] = (
    Column("NODE", lambda row: row.peer.node),
    Column("PEER", lambda row: row.peer.peer),
    Column("ADDRESS", lambda row: row.peer.address),
    Column("AS", lambda row: row.peer.remote_as),
    Column("TYPE", lambda row: row.peer.type),
    Column("STATE", lambda row: row.peer.state, tone=_state_tone),
    Column("UPTIME", lambda row: age(row.peer.uptime_seconds)),
    Column("RECV", lambda row: row.count(lambda counts: counts.received)),
    Column("SENT", lambda row: row.count(lambda counts: counts.advertised)),
    Column("BFD", lambda row: row.peer.bfd),
    Column("LOCAL-AS", lambda row: row.peer.local_as, wide=True),
    Column("FAMILY", lambda row: row.family, wide=True),
    Column("FILTERED", lambda row: row.count(lambda counts: counts.filtered), wide=True),
    Column("LIMIT", lambda row: row.limit, wide=True),
    Column("HOLD", lambda row: row.peer.hold_time_seconds, wide=True),
    Column("ROUTER-ID", lambda row: row.peer.router_id, wide=True),
    Column("FLAPS", lambda row: row.peer.flaps, wide=True),
    Column("LAST-ERROR", lambda row: row.peer.last_error, wide=True),
)

VIEW: View[Peer, Row] = View(
    kind="PeerList",
    what="peers",
    columns=COLUMNS,
    rows=_rows,
    name=lambda peer: f"peer/{peer.node}/{peer.peer}",
    steady=lambda peer: replace(peer, uptime_seconds=None),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)
    parser.add_argument("--failed", action="store_true", help="only sessions that are not Established")


def run(args: argparse.Namespace) -> int:
    def chosen(found: Iterable[Peer]) -> Iterator[Peer]:
        return (peer for peer in found if not args.failed or peer.state != "Established")

    def of_cluster(settings: Settings) -> Iterator[Peer]:
        return chosen(peer for state in node_states(settings) for peer in state.peers)

    return show.run(args, VIEW, show.Reader(lambda place: chosen(read(place)), of_cluster))


def read(place: Place) -> tuple[Peer, ...]:
    """The sessions of one node. Raises Unavailable, BackendError."""
    inventory, bird = place.inventory(), place.bird()
    bfd = bird.bfd() if any(session.bfd for session in inventory.sessions.values()) else ()
    return peers.peers(inventory, bird.sessions(), bfd)
