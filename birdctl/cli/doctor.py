"""One line for each thing that was looked at, and how to mend it. Exit code 1 when there is an error."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from birdctl.cli import checks
from birdctl.cli import parser as parsers
from birdctl.cli.checks import Check
from birdctl.cli.output import View, add_form
from birdctl.cli.tables import Column
from birdctl.settings import Settings

_TONES = {"ok": "good", "warning": "", "error": "bad"}

_SETTINGS = (
    *("bgp_port", "enable_ipv4", "enable_ipv6", "run_router", "run_firewall", "run_service_proxy"),
    *("ipvs_scheduler", "excluded_cidrs"),
)

COLUMNS: tuple[Column[Check], ...] = (
    Column("CHECK", lambda each: each.check),
    Column("RESULT", lambda each: each.result, tone=lambda each: _TONES[each.result]),
    Column("FOUND", lambda each: each.found),
    Column("FIX", lambda each: each.fix),
)

VIEW: View[Check, Check] = View(
    kind="CheckList", what="checks", columns=COLUMNS, name=lambda each: f"check/{each.check.replace(' ', '-')}"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser)
    parser.add_argument("--no-headers", action="store_true", help="leave the line of column names out")
    parsers.add_settings(parser, (*parsers.CONNECTION, *_SETTINGS))


def run(args: argparse.Namespace) -> int:
    found = list(_checks(Settings.load(args, os.environ)))
    VIEW.print(found, args.output, headers=not args.no_headers)
    return int(any(each.result == "error" for each in found))


def _checks(settings: Settings) -> Iterator[Check]:
    """Every check, in the order to mend things."""
    yield from checks.kernel(settings)
    yield checks.clock()
    yield checks.runtime_directory(settings.runtime_dir)
    if settings.run_router:
        yield checks.bird_files(settings.bird_config)
        yield from checks.bird(settings)
        yield checks.port(settings.bgp_port, settings.bird_socket)
    if settings.run_firewall:
        from birdctl.cli.firewall_checks import firewall  # noqa: PLC0415 - only who has policies pays for it

        yield from firewall(settings)
    if settings.run_service_proxy:
        from birdctl.cli.service_checks import services  # noqa: PLC0415 - only who has services pays for it

        yield from services(settings)
    yield from checks.agent(settings)
