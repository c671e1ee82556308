"""One row per originated prefix: the peers that BIRD really sent it to, and those that ought to have it and do not.

Between nodes only pod CIDRs travel, so the addresses of services are looked for at external peers alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import cast

from birdctl.addresses import family, parse_prefix, sort_key
from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.observe.views import Advertisement, RouteSource, Withheld
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.state import SessionState

_FEW = 4
_Sent = dict[str, frozenset[str] | str]
"""What each protocol really got, or why it got nothing."""


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _FEW
    return ",".join(names[:_FEW]) + (f",+{rest}" if rest > 0 else "")


COLUMNS: tuple[Column[Advertisement], ...] = (
    Column("NODE", lambda each: each.node),
    Column("PREFIX", lambda each: each.prefix),
    Column("SOURCE", lambda each: each.source),
    Column("ORIGIN", lambda each: ",".join(each.origins)),
    Column("ADVERTISED-TO", lambda each: _few(each.advertised_to)),
    Column(
        "WITHHELD",
        lambda each: _few([item.peer for item in each.withheld]),
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
    sent = {state.protocol: _sent(place, state, recovering=recovering) for state in bird.sessions()}
    found = [
        _advertisement(inventory, protocol, prefix, sent)
        for protocol, prefixes in inventory.originated.items()
        for prefix in prefixes
    ]
    return sorted(found, key=lambda each: (sort_key(parse_prefix(each.prefix)), each.protocol))


def _sent(place: Place, state: SessionState, *, recovering: bool) -> frozenset[str] | str:
    if state.state != "Established":
        return f"the session is {state.state}{f' ({state.last_error})' if state.last_error else ''}"
    prefixes = frozenset(str(route.prefix) for route in place.bird().routes(exported_to=state.protocol))
    return "BIRD recovers from a restart and waits for its peers" if recovering and not prefixes else prefixes


def _advertisement(inventory: Inventory, protocol: str, prefix: str, sent: _Sent) -> Advertisement:
    source = inventory.originated[protocol][prefix]
    asked = {
        names.peer: _refusal(prefix, names, sent.get(name, "BIRD does not run this session"))
        for name, names in sorted(inventory.sessions.items())
        if source == "pod" or names.type == "external"
    }
    origin = inventory.origins.get(protocol)
    return Advertisement(
        node=inventory.node,
        prefix=prefix,
        source=cast("RouteSource", source),
        protocol=protocol,
        origins=(origin,) if origin else (),
        advertised_to=tuple(peer for peer, refusal in asked.items() if not refusal),
        withheld=tuple(Withheld(peer=peer, reason=refusal) for peer, refusal in asked.items() if refusal),
    )


def _refusal(prefix: str, names: SessionNames, sent: frozenset[str] | str) -> str:
    """Why the peer does not have the prefix; "" when it has."""
    if isinstance(sent, str):
        return sent
    if prefix in sent:
        return ""
    carried = family(parse_prefix(prefix)).label in names.families
    return "its export filter or limit stops it" if carried else "the session does not carry this family"
