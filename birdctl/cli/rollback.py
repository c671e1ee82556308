"""Commits an earlier configuration of `birdctl history` again.

A running agent goes back to what the objects say at its next pass: correct them first, or stop it.
"""

from __future__ import annotations

import argparse

from birdctl.cli import parser as parsers
from birdctl.cli import places


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", type=int, metavar="NUMBER", help="of `birdctl history` (default: the newest that does not run)"
    )
    parsers.add_settings(parser, (*parsers.CONNECTION, "commit_timeout"))


def run(args: argparse.Namespace) -> int:
    place = places.here(args)
    result = place.bird().rollback(args.to)
    print(f"{place.node}: BIRD runs {result.digest}, read back after {result.seconds:.3f} s")
    return 0
