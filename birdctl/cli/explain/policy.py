"""What the objects say, policy by policy, and what the rules in the kernel of each node on the way do with the same
connection. SRC and DST are NAMESPACE/POD, node:NAME, or any address; PROTO is TCP, UDP or SCTP.

Exit code 1: the rules do something else than the objects say. 2: the rules of a node could not be read.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from msgspec import structs

from birdctl.cli import parser as parsers
from birdctl.cli import places, show
from birdctl.cli.explain.view import ExplanationView, answer, synced
from birdctl.cli.output import add_form
from birdctl.cli.places import Place
from birdctl.cluster.events import Changed
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import pod_cidrs
from birdctl.cluster.objects import Node, NodeAddress
from birdctl.cluster.store import Cluster
from birdctl.errors import BirdctlError, InputError
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.observe import ends
from birdctl.observe.policy_path import PolicyExplanation, Question, explain, questions
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.model import PolicyState
from birdctl.policies.semantics import LOCAL_IP
from birdctl.reconcile import sources
from birdctl.settings import Settings


def _heading(item: PolicyExplanation) -> str:
    ways = ((item.source, item.source_address), (item.destination, item.destination_address))
    source, destination = (text if address in text else f"{text} ({address})" for text, address in ways)
    return f"{source} to {destination}, {item.protocol} port {item.port}: {'allowed' if item.allowed else 'refused'}"


VIEW: ExplanationView[PolicyExplanation] = ExplanationView(
    kind="PolicyExplanationList",
    what="explanations",
    name=lambda item: f"explanation/{item.source_address}/{item.destination_address}/{item.port}",
    heading=_heading,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="NAMESPACE/POD, node:NAME or an address")
    parser.add_argument("destination", metavar="DST", help="NAMESPACE/POD, node:NAME or an address")
    parser.add_argument("port", metavar="PORT[/PROTO]", help="number, or a port's name in DST; TCP by default")
    add_form(parser, ("text", "json", "yaml"))
    show.add_targets(parser)
    parsers.add_settings(parser, ("manifests", "netpol_default_deny", "netpol_deny_action"))


def run(args: argparse.Namespace) -> int:
    settings = replace(Settings.load(args, os.environ), run_firewall=True)
    within_reach = {place.node: place for place in _places(args, settings)}
    found = _explanations(args, settings, within_reach)
    if any(each.agrees is False for each in found) and synced(within_reach.values()):
        found = _explanations(args, settings, within_reach)
    disagreement = (
        "the rules in the kernel disagree with the objects; see `birdctl show status` and `birdctl plan`"
        " (asked with the agent's own settings?)"
    )
    return answer(VIEW, found, args.output, (), disagreement)


def _places(args: argparse.Namespace, settings: Settings) -> Iterable[Place]:
    if args.lab:
        return places.named(places.of_lab(args.lab, settings.runtime_dir), args.nodes)
    here = places.local(settings)
    if args.nodes and not here.has_agent:
        here = replace(here, node=args.nodes[0])  # nobody else knows how this machine's Node is called
    return [here]


def _explanations(
    args: argparse.Namespace, settings: Settings, within_reach: dict[str, Place]
) -> list[PolicyExplanation]:
    cluster = sources.load(settings)
    for place in within_reach.values():
        _tell_addresses(cluster, place)
    asked = _questions(args, cluster)
    states = {node: _state(within_reach[node]) for each in asked for node in each.nodes if node in within_reach}
    return [explain(each, cluster, settings, states) for each in asked]


def _questions(args: argparse.Namespace, cluster: Cluster) -> tuple[Question, ...]:
    source = ends.end(cluster, args.source, "SRC")
    destination = ends.end(cluster, args.destination, "DST")
    asked = questions(source, destination, *ends.port(cluster, args.port, args.destination))
    if not asked:
        raise InputError("DST", "", f"{destination.text} has no address of the same family as {source.text}")
    return asked


def _tell_addresses(cluster: Cluster, place: Place) -> None:
    """The node's own among its pods' addresses, which its object does not name: a bridge's."""
    node = cluster.get(Node, place.node)
    if node is None:
        return
    with suppress(BirdctlError), place.inside(), RouteNetlink("addresses") as kernel:
        prefixes = pod_cidrs(node, Faults(node.ref))
        own = [each for each, _ in kernel.addresses() if any(each in prefix for prefix in prefixes)]
        local = (NodeAddress(type=LOCAL_IP, address=str(each)) for each in own)
        status = structs.replace(node.status, addresses=(*node.status.addresses, *local))
        cluster.apply(Changed(structs.replace(node, status=status)))


def _state(place: Place) -> PolicyState | str:
    """What is in the kernel, or why that cannot be read."""
    try:
        with place.inside():
            backend = PolicyBackend()
            try:
                return backend.read()
            finally:
                backend.close()
    except BirdctlError as error:
        return str(error)
