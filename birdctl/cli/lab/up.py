"""Needs root. What a node's commands print is shown with its name; one that fails is said, and the lab stays up."""

from __future__ import annotations

import argparse

from birdctl.cli import lab


def arguments(parser: argparse.ArgumentParser) -> None:
    lab.add_file(parser)


def run(args: argparse.Namespace) -> int:
    from birdctl.lab import lab as labs  # noqa: PLC0415 - netlink, only for who needs it
    from birdctl.lab.topology import load  # noqa: PLC0415

    topology = load(args.file, args.name)
    labs.up(topology, lab.runtime_dir(args))
    print(f"lab {topology.name} is up: birdctl show peers --lab {topology.name}")
    return 0
