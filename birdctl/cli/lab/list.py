"""One row per lab. READY counts the nodes that run."""

from __future__ import annotations

import argparse
from pathlib import Path

from birdctl.cli import lab
from birdctl.cli.output import View, add_form
from birdctl.cli.tables import Column
from birdctl.lab import record
from birdctl.observe.views import View as Item


class Lab(Item, frozen=True, kw_only=True):
    """One recorded lab."""

    lab: str
    file: str
    nodes: tuple[str, ...]
    running: int


COLUMNS: tuple[Column[Lab], ...] = (
    Column("LAB", lambda each: each.lab),
    Column("READY", lambda each: f"{each.running}/{len(each.nodes)}"),
    Column("NODES", lambda each: ",".join(each.nodes), wide=True),
    Column("FILE", lambda each: each.file),
)

VIEW: View[Lab, Lab] = View(kind="LabList", what="labs", columns=COLUMNS, name=lambda each: f"lab/{each.lab}")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser)
    parser.add_argument("--no-headers", action="store_true", help="leave the line of column names out")


def run(args: argparse.Namespace) -> int:
    runtime_dir = lab.runtime_dir(args)
    labs = [_lab(name, file, runtime_dir) for name, file in record.labs(runtime_dir).items()]
    VIEW.print(labs, args.output, headers=not args.no_headers)
    return 0


def _lab(name: str, file: Path, runtime_dir: Path) -> Lab:
    nodes = record.nodes(name, runtime_dir)
    return Lab(
        lab=name,
        file=str(file),
        nodes=tuple(node.name for node in nodes),
        running=sum(record.holder(node) is not None for node in nodes),
    )
