"""The text is for the BIRD version given, made from the manifests or the API server alone. It holds the passwords.

Exit code 2: an object was left out, or a node could not be rendered; the lines on stderr say why.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from birdctl.cli import parser as parsers
from birdctl.cluster.objects import Node
from birdctl.cluster.store import Cluster
from birdctl.errors import BackendError, InputError
from birdctl.reconcile import sources
from birdctl.routing.compile import Compiled, RoutingCompiler
from birdctl.routing.readback import version as parse_version
from birdctl.routing.render import render
from birdctl.settings import Settings

OLDEST = (2, 0, 12)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all-nodes", action="store_true", help="every node of the cluster; needs --output-dir")
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="write DIR/NODE/bird.conf, readable by its owner, instead of printing",
    )
    parser.add_argument(
        "--bird-version",
        type=_version,
        metavar="VERSION",
        help="BIRD to render for (default: the installed one, else 2.0.12)",
    )
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    if args.all_nodes and not args.output_dir:
        raise InputError("--all-nodes", "", "needs --output-dir DIR")
    settings = Settings.load(args, os.environ)
    cluster = sources.load(settings)
    version = args.bird_version or installed_version() or OLDEST
    problems = list(cluster.errors.values())
    for node in sorted(cluster.objects(Node)) if args.all_nodes else [settings.node]:
        compiled = compile_node(settings, cluster, node, version)
        problems += compiled.problems
        if compiled.usable:
            _write(render(compiled.config, settings.bird_templates).text, args.output_dir and args.output_dir / node)
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
    return 2 if problems else 0


def compile_node(settings: Settings, cluster: Cluster, node: str, version: tuple[int, ...]) -> Compiled:
    """What the objects say for one node, as of now."""
    return RoutingCompiler(node, settings.routing()).compile(cluster, version=version, now=time.time())


def installed_version() -> tuple[int, ...]:
    """The version of the `bird` on the path; empty without one."""
    import subprocess  # noqa: PLC0415 - only who gives no version pays for it

    try:
        said = subprocess.run(["bird", "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_version((said.stdout + said.stderr).replace("version ", ""))


def _version(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(".") if part.isdecimal())
    if len(numbers) != text.count(".") + 1 or numbers < OLDEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a version of BIRD from 2.0.12 on")
    return numbers


def _write(text: str, folder: Path | None) -> None:
    if folder is None:
        sys.stdout.write(text)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(folder / "bird.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
            file.write(text)
    except OSError as error:
        raise BackendError(f"cannot write {folder / 'bird.conf'}: {error.strerror}") from None
