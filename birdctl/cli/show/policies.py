"""One row per network policy at work on a node; `-o wide` has one per policy and direction.

PODS are the node's pods that it selects. PACKETS and BYTES are what its rules matched, the first packets of
connections, since the agent began, or without an agent since the rules were written; of a staged policy, those that it
would deny.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

from birdctl.addresses import Family
from birdctl.cli import show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.errors import Unavailable
from birdctl.netfilter.iptables import IptablesBackend
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.model import Owner
from birdctl.observe.policies import ProgrammedList, RuleCount, counted, from_kernel, policies
from birdctl.observe.views import Policy, RuleCounts
from birdctl.reconcile import control


@dataclass(frozen=True, slots=True)
class Row:
    """A policy, or one direction of it."""

    policy: Policy
    types: tuple[str, ...]
    counts: Policy | RuleCounts


def _rows(policy: Policy, wide: bool) -> Iterable[Row]:
    each = [Row(policy, (direction,), counts) for direction, counts in policy.directions.items()]
    return each if wide and each else [Row(policy, policy.types, policy)]


COLUMNS: tuple[Column[Row], ...] = (
    Column("NODE", lambda row: row.policy.node),
    Column("NAMESPACE", lambda row: row.policy.namespace),
    Column("NAME", lambda row: row.policy.name),
    Column("KIND", lambda row: row.policy.kind),
    Column("TYPES", lambda row: ",".join(row.types)),
    Column("PODS", lambda row: row.policy.selected_pods),
    Column("RULES", lambda row: row.counts.rules),
    Column("PACKETS", lambda row: row.counts.packets),
    Column("BYTES", lambda row: row.counts.bytes),
    Column("STAGED", lambda row: "true" if row.policy.staged else None),
)

VIEW: View[Policy, Row] = View(
    kind="PolicyList",
    what="policies",
    columns=COLUMNS,
    rows=_rows,
    name=lambda each: "/".join(filter(None, ("policy", each.node, each.namespace, each.name))),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)
    parser.add_argument("-n", dest="of_namespace", metavar="NAMESPACE", help="only NetworkPolicies of this namespace")


def run(args: argparse.Namespace) -> int:
    def chosen(place: Place) -> Iterable[Policy]:
        found = read(place)
        return [each for each in found if args.of_namespace in (None, each.namespace)]

    return show.run(args, VIEW, show.Reader(chosen, only_ours=True, shortfall=_shortfall))


def _shortfall(policy: Policy) -> str:
    if policy.selected_pods is not None:
        return ""
    return f"no agent answers on {policy.node}: which pods its policies select is not known"


def read(place: Place) -> tuple[Policy, ...]:
    """The policies of one node. Raises Unavailable, BackendError."""
    counts = tuple(_counts(place))
    try:
        known = control.ask_for(ProgrammedList, place.runtime_dir, "policies")
    except Unavailable:
        known = ProgrammedList(node=place.node, items=from_kernel(counts))
    return policies(known.node, known.items, counts)


def _counts(place: Place) -> Iterable[RuleCount]:
    with place.inside():
        iptables = IptablesBackend(detect(), Owner.POLICIES)
        return counted([iptables.read(family)["filter"] for family in Family])
