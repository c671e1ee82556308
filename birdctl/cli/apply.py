"""One pass with the objects as they are now: compile, write, read back; policies first, then services, routing last. A
plan that refuses itself needs --force.

Exit code 2: done, but objects were left out; the lines on stderr say why.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from birdctl.cli import parser as parsers
from birdctl.cli import plan as plans
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError, NotConverged
from birdctl.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="do what the plan refuses to do")
    parsers.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings, cluster = plans.loaded(args)
    problems: list[InputError] = []
    if settings.run_firewall:
        problems += _policies(settings, cluster)
    if settings.run_service_proxy:
        problems += _services(settings, cluster, force=args.force)
    if settings.run_router:
        problems += _routing(settings, cluster, force=args.force)
    return 2 if problems else 0


def _policies(settings: Settings, cluster: Cluster) -> Sequence[InputError]:
    reconciler = plans.policies(settings, cluster)
    prepared = reconciler.prepare()
    plan = reconciler.plan(prepared)
    plans.show_problems(plan.problems)
    result = reconciler.carry_out(prepared)
    ended = reconciler.cut(result.touched)
    print(plan.text())
    if ended:
        print(f"{settings.node}: {ended} connections ended that are forbidden now")
    if result.refused:
        refused = "; ".join(f"{policy or 'rules of none'}: {reason}" for policy, reason in result.refused.items())
        raise NotConverged(f"{settings.node}: the kernel refuses policies, and their pods are closed: {refused}")
    if reconciler.plan(prepared).changes:
        raise NotConverged(f"{settings.node}: the kernel's rules are not what was written; somebody else changes them")
    return plan.problems


def _services(settings: Settings, cluster: Cluster, *, force: bool) -> Sequence[InputError]:
    reconciler = plans.services(settings, cluster)
    prepared = reconciler.prepare()
    plan = reconciler.plan(prepared)
    plans.show_problems(plan.problems)
    if not force:
        plan.check()
    result = reconciler.carry_out(prepared)
    print(plan.text())
    if result.refusals:
        refused = "; ".join(f"{service or 'of no service'}: {problem}" for service, problem in result.refusals)
        raise NotConverged(f"{settings.node}: the kernel refuses some of it: {refused}")
    if reconciler.plan(prepared).changes and result.again_at is None:
        raise NotConverged(f"{settings.node}: the kernel's services are not what was written; somebody changes them")
    return plan.problems


def _routing(settings: Settings, cluster: Cluster, *, force: bool) -> Sequence[InputError]:
    reconciler = plans.routing(settings, cluster)
    prepared = reconciler.prepare()
    plans.show_problems(prepared.plan.problems)
    result = reconciler.carry_out(prepared, force=force)
    print(result.plan.text())
    if result.commit.changed:
        print(f"{result.plan.node}: BIRD runs {result.commit.digest}, read back after {result.commit.seconds:.3f} s")
    return result.plan.problems
