"""One pass with the objects as they are now: compile, commit, read back. A plan that refuses itself needs --force.

Exit code 2: done, but objects were left out; the lines on stderr say why.
"""

from __future__ import annotations

import argparse
import os

from birdctl.cli import parser as parsers
from birdctl.cli.plan import reconciler_of, show_problems
from birdctl.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="do what the plan refuses to do")
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    reconciler = reconciler_of(Settings.load(args, os.environ))
    prepared = reconciler.prepare()
    show_problems(prepared.plan.problems)
    result = reconciler.carry_out(prepared, force=args.force)
    print(result.plan.text())
    if result.commit.changed:
        print(f"{result.plan.node}: BIRD runs {result.commit.digest}, read back after {result.commit.seconds:.3f} s")
    return 2 if result.plan.problems else 0
