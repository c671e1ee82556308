"""Newest first; `*` marks the one that runs. `birdctl rollback --to NUMBER` goes back to one."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from birdctl.cli import parser as parsers
from birdctl.cli import places
from birdctl.cli.age import age
from birdctl.cli.output import View, add_form
from birdctl.cli.tables import Column
from birdctl.observe.views import View as Item
from birdctl.routing.history import HistoryEntry


class Version(Item, frozen=True, kw_only=True):
    """One configuration that was confirmed; `committed` is RFC 3339, UTC."""

    node: str
    number: int
    digest: str
    committed: str
    sessions: int
    running: bool


COLUMNS: tuple[Column[Version], ...] = (
    Column("NUMBER", lambda each: each.number),
    Column("RUNNING", lambda each: "*" if each.running else None),
    Column("DIGEST", lambda each: each.digest),
    Column("SESSIONS", lambda each: each.sessions),
    Column("AGE", lambda each: age(time.time() - datetime.fromisoformat(each.committed).timestamp())),
    Column("NODE", lambda each: each.node, wide=True),
    Column("COMMITTED", lambda each: each.committed, wide=True),
)

VIEW: View[Version, Version] = View(
    kind="HistoryList",
    what="earlier configurations",
    columns=COLUMNS,
    name=lambda each: f"configuration/{each.number}",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser)
    parser.add_argument("--no-headers", action="store_true", help="leave the line of column names out")
    parsers.add_settings(parser, parsers.CONNECTION)


def run(args: argparse.Namespace) -> int:
    place = places.here(args)
    versions = [_version(place.node, entry) for entry in place.bird().history()]
    VIEW.print(versions, args.output, headers=not args.no_headers)
    return 0


def _version(node: str, entry: HistoryEntry) -> Version:
    return Version(
        node=node,
        number=entry.number,
        digest=entry.digest,
        committed=datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        sessions=entry.sessions,
        running=entry.running,
    )
