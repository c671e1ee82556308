"""One row per route of BIRD's main tables. INSTALLED: the kernel has it, with these next hops.

What the node originates itself is never put into the kernel by BIRD and has `-` there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.observe.routes import routes
from birdctl.observe.views import Route

TABLES = ("master4", "master6")


def _joined(values: Iterable[object]) -> str:
    return ",".join(str(value) for value in values if value)


def _word(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _tone(route: Route) -> str:
    return "bad" if route.best and route.installed is False else ""


COLUMNS: tuple[Column[Route], ...] = (
    Column("NODE", lambda route: route.node),
    Column("PREFIX", lambda route: route.prefix),
    Column("NEXT-HOP", lambda route: _joined(hop.address for hop in route.next_hops)),
    Column("INTERFACE", lambda route: _joined(hop.interface for hop in route.next_hops)),
    Column("SOURCE", lambda route: route.source),
    Column("PEER", lambda route: route.peer),
    Column("BEST", lambda route: _word(route.best)),
    Column("INSTALLED", lambda route: _word(route.installed), tone=_tone),
    Column("ORIGIN", lambda route: route.origin_node, wide=True),
    Column("AS-PATH", lambda route: " ".join(map(str, route.as_path)), wide=True),
    Column("LOCAL-PREF", lambda route: route.local_pref, wide=True),
    Column("MED", lambda route: route.med, wide=True),
    Column("COMMUNITIES", lambda route: ",".join((*route.communities, *route.large_communities)), wide=True),
    Column("PROTOCOL", lambda route: route.protocol, wide=True),
)

VIEW: View[Route, Route] = View(
    kind="RouteList",
    what="routes",
    columns=COLUMNS,
    name=lambda route: f"route/{route.node}/{route.prefix}/{route.protocol}",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)


def run(args: argparse.Namespace) -> int:
    return show.run(args, VIEW, show.Reader(read))


def read(place: Place) -> tuple[Route, ...]:
    """The routes of one node, joined with its kernel's. Raises Unavailable, BackendError."""
    from birdctl.observe import kernel  # noqa: PLC0415 - netlink, only for who needs it

    bird = place.bird()
    found = [route for table in TABLES for route in bird.routes(table=table)]
    return routes(place.inventory(), found, bird.sessions(), kernel.of_bird(kernel.routes(place.netns)))
