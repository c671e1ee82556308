"""Commits an earlier configuration of `birdctl history` again.

It lasts: the agent does not go back to what was rolled back from until the objects say something else, or
`birdctl apply --force`.
"""

from __future__ import annotations

import argparse

from birdctl.cli import parser as parsers
from birdctl.cli import places
from birdctl.reconcile.rollback import roll_back


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", type=int, metavar="NUMBER", help="of `birdctl history` (default: the newest that does not run)"
    )
    parsers.add_settings(parser, (*parsers.CONNECTION, "commit_timeout"))


def run(args: argparse.Namespace) -> int:
    place = places.here(args)
    result = roll_back(place.bird(), place.runtime_dir, args.to)
    print(f"{place.node}: BIRD runs {result.digest}, read back after {result.seconds:.3f} s")
    return 0
