"""One row per originated prefix: the peers that BIRD really sent it to, and those that ought to have it and do not.

A prefix is looked for where it belongs: at peers that carry its family, and service addresses at external ones only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from birdctl.addresses import family, parse_prefix, sort_key
from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column, few
from birdctl.observe.sessions import Session, sessions
from birdctl.observe.views import Advertisement, RouteSource, Withheld
from birdctl.routing.commit import BirdBackend
from birdctl.routing.inventory import Inventory

COLUMNS: tuple[Column[Advertisement], ...] = (
    Column("NODE", lambda each: each.node),
    Column("PREFIX", lambda each: each.prefix),
    Column("SOURCE", lambda each: each.source),
    Column("ORIGIN", lambda each: ",".join(each.origins)),
    Column("ADVERTISED-TO", lambda each: few(each.advertised_to)),
    Column(
        "WITHHELD",
        lambda each: few([item.peer for item in each.withheld]),
        tone=lambda each: "bad" if each.withheld else "",
    ),
    Column("PROTOCOL", lambda each: each.protocol, wide=True),
    Column("REASON", lambda each: "; ".join(dict.fromkeys(item.reason for item in each.withheld)), wide=True),
)

VIEW: View[Advertisement, Advertisement] = View(
    kind="AdvertisementList",
    what="advertisements",
    columns=COLUMNS,
    name=lambda each: f"advertisement/{each.node}/{each.prefix}",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)


def run(args: argparse.Namespace) -> int:
    return show.run(args, VIEW, show.Reader(read))


def read(place: Place) -> list[Advertisement]:
    """What one node originates, by prefix. Raises Unavailable, BackendError."""
    inventory, bird = place.inventory(), place.bird()
    recovering = bird.status().recovering
    sent = [
        Sent(session, _exported(bird, session), recovering=recovering)
        for session in sessions(inventory, bird.sessions())
    ]
    found = [
        _advertisement(inventory, protocol, prefix, sent)
        for protocol, prefixes in inventory.originated.items()
        for prefix in prefixes
    ]
    return sorted(found, key=lambda each: (sort_key(parse_prefix(each.prefix)), each.protocol))


@dataclass(frozen=True, slots=True)
class Sent:
    """What one peer really has of this node."""

    session: Session
    prefixes: frozenset[str]
    recovering: bool

    def refusal(self, prefix: str) -> str:
        """Why the peer does not have the prefix; "" when it has."""
        if prefix in self.prefixes:
            return ""
        if not self.session.is_up:
            return self.session.down
        if self.recovering:
            return "BIRD recovers from a restart and waits for its peers"
        return "its export filter or limit stops it"


def _exported(bird: BirdBackend, session: Session) -> frozenset[str]:
    if session.state is None or not session.is_up:
        return frozenset()
    return frozenset(str(route.prefix) for route in bird.routes(exported_to=session.state.protocol))


def _advertisement(inventory: Inventory, protocol: str, prefix: str, sent: Sequence[Sent]) -> Advertisement:
    source = inventory.originated[protocol][prefix]
    label = family(parse_prefix(prefix)).label
    carrying = [each for each in sent if label in each.session.names.families]
    asked = [each for each in carrying if source == "pod" or each.session.names.type == "external"]
    refusals = [(each.session.names.peer, each.refusal(prefix)) for each in asked]
    origin = inventory.origins.get(protocol)
    return Advertisement(
        node=inventory.node,
        prefix=prefix,
        source=cast("RouteSource", source),
        protocol=protocol,
        origins=(origin,) if origin else (),
        advertised_to=tuple(peer for peer, refusal in refusals if not refusal),
        withheld=tuple(Withheld(peer=peer, reason=refusal) for peer, refusal in refusals if refusal),
    )
