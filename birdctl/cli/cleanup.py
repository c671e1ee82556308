"""Removes virtual servers, addresses, rules, sets and sessions that birdctl made, whatever is switched on now. No agent
may run. Settings of the kernel that services needed become what they were. What a kube-proxy that no longer runs here
left behind goes, too; BIRD itself and what others made stay.

Exit code 2: something could not be removed; the lines on stderr say why.
"""

from __future__ import annotations

import argparse
import os
import sys

from birdctl.cli import parser as parsers
from birdctl.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    return clean_up(Settings.load(args, os.environ))


def clean_up(settings: Settings) -> int:
    """The exit code."""
    from birdctl.reconcile import cleanup  # noqa: PLC0415 - the help needs none of it

    failed = list(cleanup.clean_up(settings, print))
    for error in failed:
        print(f"birdctl: {error}", file=sys.stderr)
    return 2 if failed else 0
