"""Keeps the node at what the cluster says until a signal ends it: with `--run-router` BIRD, with `--run-firewall` the
rules of policies, with `--run-service-proxy` virtual servers and their addresses; with `--run-loadbalancer` also the
addresses of Services. All of that stays when the agent ends. SIGHUP reads --config again.
"""

from __future__ import annotations

import argparse
import os

from birdctl.cli import parser as parsers
from birdctl.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    from birdctl.observe import log  # noqa: PLC0415 - the help needs none of it
    from birdctl.reconcile import daemon  # noqa: PLC0415

    def load() -> Settings:
        return Settings.load(args, os.environ)

    settings = load()
    if settings.cleanup_config:
        from birdctl.cli.cleanup import clean_up  # noqa: PLC0415

        return clean_up(settings)
    log.configure(settings.log_level, settings.log_format)
    daemon.run(settings, load)
    return 0
