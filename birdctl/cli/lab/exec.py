"""The exit code is the command's own."""

from __future__ import annotations

import argparse

from birdctl.cli import lab


def arguments(parser: argparse.ArgumentParser) -> None:
    lab.add_file(parser)
    parser.add_argument("where", metavar="NODE", help="a node of the topology")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …", help="what to run; default a shell")


def run(args: argparse.Namespace) -> int:
    from birdctl.lab import lab as labs  # noqa: PLC0415 - netlink, only for who needs it
    from birdctl.lab.topology import load  # noqa: PLC0415

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    return labs.execute(load(args.file, args.name), args.where, command or ["sh"], lab.runtime_dir(args))
