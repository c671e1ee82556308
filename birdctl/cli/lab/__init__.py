"""`birdctl lab …`: containerlab topologies in network namespaces."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from birdctl.settings import Settings


def add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.clab.yml", help="the topology")
    parser.add_argument("--name", default="", help="call the lab otherwise than its file does")


def runtime_dir(args: argparse.Namespace) -> Path:
    """Where labs are recorded."""
    return Settings.load(args, os.environ).runtime_dir
