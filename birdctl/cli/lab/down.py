"""Removes every namespace, link, process and file of the lab, of one that was left half-made as well."""

from __future__ import annotations

import argparse

from birdctl.cli import lab


def arguments(parser: argparse.ArgumentParser) -> None:
    lab.add_file(parser)


def run(args: argparse.Namespace) -> int:
    from birdctl.lab import lab as labs  # noqa: PLC0415 - netlink, only for who needs it
    from birdctl.lab.topology import lab_name  # noqa: PLC0415

    name = args.name or lab_name(args.file)
    was_there = labs.down(name, lab.runtime_dir(args))
    print(f"lab {name} is down" if was_there else f"lab {name} was not up")
    return 0
