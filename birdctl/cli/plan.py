"""What every session will feel, and which prefixes come and go, worked out from what BIRD runs now.

With --exit-code: 4 when there is something to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from birdctl.cli import parser as parsers
from birdctl.cli.output import add_form, document
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.reconcile.reconciler import Reconciler

SOMETHING_TO_DO = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser, ("text", "json", "yaml"))
    parser.add_argument("--exit-code", action="store_true", help="exit with 4 when there is something to do")
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    plan = reconciler_of(args).prepare().plan
    show_problems(plan.problems)
    print(plan.text() if args.output == "text" else document(plan.document(), args.output))
    return SOMETHING_TO_DO if args.exit_code and plan.changes else 0


def reconciler_of(args: argparse.Namespace) -> Reconciler:
    """One over the objects as they are now. Raises Unavailable when their source is not there."""
    from birdctl.reconcile import reconciler, sources  # noqa: PLC0415 - the help needs none of it

    settings = Settings.load(args, os.environ)
    return reconciler.Reconciler(settings, sources.load(settings))


def show_problems(problems: Iterable[object]) -> None:
    """One line on stderr for each object that was left out."""
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
