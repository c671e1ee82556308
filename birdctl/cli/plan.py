"""With `--run-router` what every session will feel and which prefixes come and go, worked out from what BIRD runs now;
with `--run-firewall` which policies, and which of their chains and sets, the kernel would get or lose; with
`--run-service-proxy` which virtual servers and addresses.

Without --manifests and --kubeconfig, and outside a pod, it is the plan of the agent that runs on this node.
With --exit-code: 4 when there is something to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from birdctl.cli import parser as parsers
from birdctl.cli.output import add_form, document
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.store import Cluster
    from birdctl.reconcile.policies import PolicyReconciler
    from birdctl.reconcile.reconciler import Reconciler
    from birdctl.reconcile.services import ServiceReconciler

SOMETHING_TO_DO = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    add_form(parser, ("text", "json", "yaml"))
    parser.add_argument("--exit-code", action="store_true", help="exit with 4 when there is something to do")
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    forms = _forms(args)
    plan = forms["document"]
    show_problems(
        chain(plan["problems"], *(plan.get(part, {}).get("problems", ()) for part in ("policies", "services")))
    )
    print(forms["text"] if args.output == "text" else document(plan, args.output))
    return SOMETHING_TO_DO if args.exit_code and plan["changes"] else 0


def _forms(args: argparse.Namespace) -> Mapping[str, Any]:
    from birdctl.reconcile import control, sources  # noqa: PLC0415 - the help needs none of it
    from birdctl.reconcile.plan import together  # noqa: PLC0415

    settings = Settings.load(args, os.environ)
    if not sources.is_known(settings) and control.socket_path(settings.runtime_dir).exists():
        return control.ask(settings.runtime_dir, "plan")
    cluster, plans = sources.load(settings), list[Mapping[str, Any]]()
    if settings.run_router:
        plans.append(routing(settings, cluster).prepare().plan.forms())
    if settings.run_firewall:
        reconciler = policies(settings, cluster)
        plans.append(reconciler.plan(reconciler.prepare()).forms())
    if settings.run_service_proxy:
        proxy = services(settings, cluster)
        plans.append(proxy.plan(proxy.prepare()).forms())
    return together(plans)


def loaded(args: argparse.Namespace) -> tuple[Settings, Cluster]:
    """The settings, and the objects as they are now. Raises Unavailable when their source is missing or unknown."""
    from birdctl.reconcile import sources  # noqa: PLC0415 - the help needs none of it

    settings = Settings.load(args, os.environ)
    return settings, sources.load(settings)


def routing(settings: Settings, cluster: Cluster) -> Reconciler:
    from birdctl.reconcile.reconciler import Reconciler  # noqa: PLC0415 - only a domain in use is paid for

    return Reconciler(settings, cluster)


def policies(settings: Settings, cluster: Cluster) -> PolicyReconciler:
    """Raises Unavailable when the kernel has no ipset."""
    from birdctl.reconcile.policies import PolicyReconciler  # noqa: PLC0415 - only a domain in use is paid for

    return PolicyReconciler(settings, cluster)


def services(settings: Settings, cluster: Cluster) -> ServiceReconciler:
    """Raises Unavailable when the kernel has no IPVS."""
    from birdctl.reconcile.services import ServiceReconciler  # noqa: PLC0415 - only a domain in use is paid for

    return ServiceReconciler(settings, cluster)


def show_problems(problems: Iterable[object]) -> None:
    """One line on stderr for each object that was left out."""
    for problem in dict.fromkeys(map(str, problems)):
        print(f"birdctl: {problem}", file=sys.stderr)
