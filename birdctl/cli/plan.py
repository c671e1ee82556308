"""What every session will feel, and which prefixes come and go, worked out from what BIRD runs now.

With --exit-code: 4 when there is something to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from birdctl.cli import parser as parsers
from birdctl.cli.output import add_form, document
from birdctl.settings import Settings

SOMETHING_TO_DO = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser, ("text", "json", "yaml"))
    parser.add_argument("--exit-code", action="store_true", help="exit with 4 when there is something to do")
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    from birdctl.reconcile import oneshot  # noqa: PLC0415 - the help needs none of it

    plan = oneshot.plan_only(Settings.load(args, os.environ))
    show_problems(plan.problems)
    print(plan.text() if args.output == "text" else document(plan.document(), args.output))
    return SOMETHING_TO_DO if args.exit_code and plan.changes else 0


def show_problems(problems: Iterable[object]) -> None:
    """One line on stderr for each object that was left out."""
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
