"""What all of `birdctl show …` share: the flags, where to read, the form, `--watch`, a partial answer."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from birdctl.cli import parser as parsers
from birdctl.cli import places
from birdctl.cli.output import View, add_form
from birdctl.cli.places import Place
from birdctl.errors import BirdctlError, Unavailable
from birdctl.settings import Settings

T = TypeVar("T")

_PERIOD = 1.0  # seconds between two looks of --watch


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """How the items of one view are read from a node, and from the API server where it has them.

    `only_ours`: not from the routers of a lab that run a BIRD without birdctl; `shortfall`: the line that says what an
    item lacks, "" for a whole one; `on`: its node.
    """

    node: Callable[[Place], Iterable[T]]
    cluster: Callable[[Settings], Iterable[T]] | None = None
    only_ours: bool = False
    shortfall: Callable[[T], str] = lambda _: ""
    on: Callable[[T], str] = attrgetter("node")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every view."""
    add_form(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="go on, and print what changes")
    parser.add_argument("--no-headers", action="store_true", help="leave the line of column names out")
    parser.add_argument("-A", "--all-nodes", action="store_true", help="every node, as the API server knows it")
    add_targets(parser)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """The flags that say which nodes are asked, and where."""
    parser.add_argument(
        "--node", dest="nodes", action="append", default=[], metavar="NAME", help="only this node (repeatable)"
    )
    parser.add_argument("--lab", metavar="NAME", help="the nodes of a running lab")
    parser.set_defaults(all_nodes=False)
    parsers.add_settings(parser, tuple(field for field in parsers.CONNECTION if field != "node"))


def run(args: argparse.Namespace, view: View[T, Any], reader: Reader[T]) -> int:
    """Reads and prints once, or for ever with --watch."""
    if args.watch:
        return _watch(args, view, reader)
    items, failures = gather(args, reader)
    if items or not failures:
        view.print(items, args.output, headers=not args.no_headers)
    report(failures)
    return 2 if failures else 0


def gather(args: argparse.Namespace, reader: Reader[T]) -> tuple[list[T], list[str]]:
    """The items, and one line for each node whose answer is missing or partial. Raises BirdctlError without any."""
    settings = Settings.load(args, os.environ)
    if args.lab:
        found = places.of_lab(args.lab, settings.runtime_dir, only_ours=reader.only_ours)
        items, failures = _ask(places.named(found, args.nodes), reader.node)
    elif _is_local(args, settings):
        items, failures = list(reader.node(places.local(settings))), []
    else:
        items, failures = _ask_cluster(args, settings, reader), []
    return items, [*failures, *dict.fromkeys(filter(None, map(reader.shortfall, items)))]


def _is_local(args: argparse.Namespace, settings: Settings) -> bool:
    """Nothing asks for the API server, and there is or was a BIRD here or no other place to ask."""
    place = places.local(settings)
    if args.all_nodes or hasattr(args, "kubeconfig") or set(args.nodes) - {place.node}:
        return False
    return place.has_bird or place.has_agent or not settings.kubeconfig


def _ask(found: tuple[Place, ...], read: Callable[[Place], Iterable[T]]) -> tuple[list[T], list[str]]:
    items, failures = places.ask_all(found, read)
    if failures and len(failures) == len(found):
        raise Unavailable("; ".join(failures))
    return items, failures


def _ask_cluster(args: argparse.Namespace, settings: Settings, reader: Reader[T]) -> list[T]:
    if reader.cluster is None:
        raise Unavailable("only a node itself knows this: run it there, or with --lab")
    return [item for item in reader.cluster(settings) if not args.nodes or reader.on(item) in args.nodes]


def report(failures: Iterable[str]) -> None:
    for failure in failures:
        print(f"birdctl: {failure}", file=sys.stderr)


def _watch(args: argparse.Namespace, view: View[T, Any], reader: Reader[T]) -> int:
    """As kubectl does: everything first, then each item again when it has changed."""
    seen: dict[str, object] = {}
    complaints: list[str] = []
    headers = not args.no_headers
    while True:
        try:
            items, failures = gather(args, reader)
        except BirdctlError as error:
            items, failures = [], [str(error)]
        changed = [item for item in items if seen.get(view.name(item)) != view.steady(item)]
        if changed:
            view.print(changed, args.output, headers=headers)
            headers = False
        if failures != complaints:
            report(failures)
        seen |= {view.name(item): view.steady(item) for item in changed}
        complaints = failures
        time.sleep(_PERIOD)
