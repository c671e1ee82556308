"""What every session will feel, and which prefixes come and go, worked out from what BIRD runs now.

Without --manifests and --kubeconfig, and outside a pod, it is the plan of the agent that runs on this node.
With --exit-code: 4 when there is something to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

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
    forms = _forms(Settings.load(args, os.environ))
    plan = forms["document"]
    show_problems(plan["problems"])
    print(forms["text"] if args.output == "text" else document(plan, args.output))
    return SOMETHING_TO_DO if args.exit_code and plan["changes"] else 0


def _forms(settings: Settings) -> dict[str, Any]:
    from birdctl.reconcile import control, sources  # noqa: PLC0415 - the help needs none of it

    if not sources.is_known(settings) and control.socket_path(settings.runtime_dir).exists():
        return control.ask(settings.runtime_dir, "plan")
    return reconciler_of(settings).prepare().plan.forms()


def reconciler_of(settings: Settings) -> Reconciler:
    """One over the objects as they are now. Raises Unavailable when their source is not there, or not known."""
    from birdctl.reconcile import reconciler, sources  # noqa: PLC0415 - the help needs none of it

    return reconciler.Reconciler(settings, sources.load(settings))


def show_problems(problems: Iterable[object]) -> None:
    """One line on stderr for each object that was left out."""
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
