"""Made from the manifests or the API server alone: with `--run-router` `bird.conf`, for the BIRD version given and with
the passwords in it; with `--run-firewall` `ipset`, `iptables` and `ip6tables`, for `ipset restore` and
`iptables-restore --noflush`; with `--run-service-proxy` what services add to these, `ipvs` for `ipvsadm -R` and
`links` for `ip -batch`.

Exit code 2: an object was left out, or a node could not be rendered; the lines on stderr say why.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from birdctl.addresses import Family
from birdctl.cli import parser as parsers
from birdctl.cli import places
from birdctl.cluster.objects import Node
from birdctl.cluster.store import Cluster
from birdctl.errors import BackendError, InputError
from birdctl.reconcile import sources
from birdctl.routing.compile import Compiled, RoutingCompiler
from birdctl.routing.readback import version as parse_version
from birdctl.routing.render import render
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.netfilter.model import IpSet, Table

OLDEST = (2, 0, 12)
FILES = ("bird.conf", "ipvs", "links", "ipset", "iptables", "ip6tables")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all-nodes", action="store_true", help="every node of the cluster; needs --output-dir")
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="write the files into DIR/NODE, readable by their owner, instead of printing one",
    )
    parser.add_argument("--file", choices=FILES, help="the file to print (default: the first there is)")
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
    version = (args.bird_version or installed_version() or OLDEST) if settings.run_router else OLDEST
    problems: list[InputError] = list(cluster.errors.values())
    for node in sorted(cluster.objects(Node)) if args.all_nodes else [places.existing_node(cluster, settings.node)]:
        files = _files(settings, cluster, node, version, problems)
        if args.output_dir:
            _write(files, args.output_dir / node)
        elif files or args.file:
            sys.stdout.write(_chosen(files, args.file))
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _files(
    settings: Settings, cluster: Cluster, node: str, version: tuple[int, ...], problems: list[InputError]
) -> dict[str, str]:
    """Of the domains that are switched on; what is wrong with objects is added to `problems`."""
    files: dict[str, str] = {}
    for name, text in chain(
        _of_routing(settings, cluster, node, version, problems) if settings.run_router else (),
        _of_policies(settings, cluster, node, problems) if settings.run_firewall else (),
        _of_services(settings, cluster, node, problems) if settings.run_service_proxy else (),
    ):
        files[name] = files.get(name, "") + text
    return files


def _of_routing(
    settings: Settings, cluster: Cluster, node: str, version: tuple[int, ...], problems: list[InputError]
) -> Iterator[tuple[str, str]]:
    compiled = compile_node(settings, cluster, node, version)
    problems += compiled.problems
    if compiled.usable:
        yield "bird.conf", render(compiled.config, settings.bird_templates).text


def _of_policies(
    settings: Settings, cluster: Cluster, node: str, problems: list[InputError]
) -> Iterator[tuple[str, str]]:
    from birdctl.policies.compile import PolicyCompiler  # noqa: PLC0415 - only who has policies pays for it

    policies = PolicyCompiler(node, settings.policies()).compile(cluster)
    problems += policies.problems
    yield from _netfilter(policies.state.sets, policies.state.tables.values())


def _of_services(
    settings: Settings, cluster: Cluster, node: str, problems: list[InputError]
) -> Iterator[tuple[str, str]]:
    from birdctl.services.compile import ServiceCompiler  # noqa: PLC0415 - only who has services pays for it
    from birdctl.services.ipvs_text import servers_text  # noqa: PLC0415
    from birdctl.services.links_text import links_text  # noqa: PLC0415
    from birdctl.services.rules import RuleCompiler  # noqa: PLC0415

    options = settings.services()
    services = ServiceCompiler(node, options).compile(cluster)
    problems += services.problems
    rules = RuleCompiler(options).compile(services.state)
    yield "ipvs", servers_text(services.state.virtual_servers)
    yield "links", links_text(services.state)
    yield from _netfilter(rules.sets, rules.tables.values())


def _netfilter(sets: Mapping[str, IpSet], tables: Iterable[Table]) -> Iterator[tuple[str, str]]:
    from birdctl.netfilter.ipset_text import sets_text  # noqa: PLC0415 - only who has rules pays for it
    from birdctl.netfilter.iptables_text import table_text  # noqa: PLC0415

    yield "ipset", sets_text(sets)
    for table in tables:
        yield "iptables" if table.family is Family.IPV4 else "ip6tables", table_text(table)


def _chosen(files: Mapping[str, str], name: str | None) -> str:
    if name is None:
        return next(iter(files.values()))
    if name not in files:
        raise InputError(
            "--file", "", f"{name} is not rendered here: see --run-router, --run-firewall and --run-service-proxy"
        )
    return files[name]


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


def _write(files: Mapping[str, str], folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
                file.write(text)
        except OSError as error:
            raise BackendError(f"cannot write {path}: {error.strerror}") from None
