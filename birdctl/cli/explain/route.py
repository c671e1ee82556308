"""From the objects to the peers: who has the prefix, what BIRD made of it, whether the kernel has it, which peers were
sent it, and the term of the filter that stopped it at the others. An address stands for the prefix BIRD uses for it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from birdctl.addresses import Prefix, family, overlap, parse_prefix
from birdctl.cli import parser as parsers
from birdctl.cli import show
from birdctl.cli.explain.view import ExplanationView
from birdctl.cli.output import add_form
from birdctl.cli.places import Place
from birdctl.errors import BirdctlError, InputError
from birdctl.observe.route_path import Evidence, explain
from birdctl.observe.verdicts import Filters
from birdctl.observe.views import Step, View
from birdctl.routing.state import RouteState
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.store import Cluster


class Explanation(View, frozen=True, kw_only=True):
    """Of one prefix on one node."""

    node: str
    prefix: str
    steps: tuple[Step, ...]


VIEW: ExplanationView[Explanation] = ExplanationView(
    kind="RouteExplanationList",
    what="explanations",
    name=lambda item: f"explanation/{item.node}/{item.prefix}",
    heading=lambda item: f"{item.prefix} on node {item.node}",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", metavar="PREFIX", help="a prefix, or an address")
    add_form(parser, ("text", "json", "yaml"))
    show.add_targets(parser)
    parsers.add_settings(parser, ("manifests",))


def run(args: argparse.Namespace) -> int:
    wanted = _parsed(args.prefix)
    objects = tuple(_objects(Settings.load(args, os.environ), wanted))

    def read(place: Place) -> list[Explanation]:
        evidence = gather(place, wanted, is_address="/" not in args.prefix)
        steps = (*objects, *explain(evidence))
        return [Explanation(node=evidence.inventory.node, prefix=str(evidence.prefix), steps=steps)]

    items, failures = show.gather(args, show.Reader(read))
    VIEW.answer(items, args.output)
    show.report(failures)
    return 2 if failures else 0


def _parsed(text: str) -> Prefix:
    try:
        return parse_prefix(text)
    except ValueError as error:
        raise InputError("PREFIX", "", str(error)) from None


def gather(place: Place, wanted: Prefix, *, is_address: bool) -> Evidence:
    """Everything that one node says about a prefix. Raises Unavailable, BackendError."""
    from birdctl.observe import kernel  # noqa: PLC0415 - netlink, only for who needs it

    bird = place.bird()
    status, states = bird.status(), bird.sessions()
    table = bird.routes(table=f"master{wanted.version}")
    covering = _longest(table, wanted)
    prefix = covering[0].prefix if is_address and covering else wanted
    up = [state for state in states if state.state == "Established"]
    carrying = [state.protocol for state in up if any(each.family is family(prefix) for each in state.channels)]
    return Evidence(
        prefix=prefix,
        inventory=place.inventory(),
        states=states,
        routes=tuple(route for route in table if route.prefix == prefix),
        covering=covering,
        rejected=frozenset(route.protocol for route in bird.routes(prefix=prefix, filtered=True)),
        sent=frozenset(protocol for protocol in carrying if bird.routes(prefix=prefix, exported_to=protocol)),
        kernel=kernel.routes(place.netns),
        filters=Filters(bird.running_text() or ""),
        recovering=status.recovering,
    )


def _longest(table: Iterable[RouteState], wanted: Prefix) -> tuple[RouteState, ...]:
    around = [route for route in table if wanted.subnet_of(route.prefix)]  # type: ignore[arg-type]
    longest = max((route.prefix.prefixlen for route in around), default=0)
    return tuple(route for route in around if route.prefix.prefixlen == longest)


def _objects(settings: Settings, wanted: Prefix) -> Iterator[Step]:
    """Who has the prefix according to the source, if one is named."""
    from birdctl.reconcile import sources  # noqa: PLC0415 - only who reads objects pays for them

    if not sources.is_known(settings):
        return
    try:
        owners = list(_owners(settings, sources.load(settings), wanted))
    except BirdctlError as error:
        yield Step(subject="objects", text=f"cannot be read: {error}")
        return
    for owner in owners:
        yield Step(subject="objects", holds=True, text=owner)
    if not owners:
        yield Step(subject="objects", holds=False, text="no pod CIDR and no service address of the cluster")


def _owners(settings: Settings, cluster: Cluster, wanted: Prefix) -> Iterator[str]:
    from birdctl.cluster.objects import Node, Service  # noqa: PLC0415
    from birdctl.routing.compile.nodes import facts  # noqa: PLC0415

    options = settings.routing()
    for node in cluster.objects(Node).values():
        for cidr in facts(node, options).pod_cidrs:
            if overlap(wanted, cidr):
                yield f"pod CIDR {cidr} of {node.ref}"
    for service in cluster.objects(Service).values():
        spec, ingress = service.spec, service.status.load_balancer.ingress
        addresses = {
            "clusterIP": spec.cluster_ips or (spec.cluster_ip,),
            "externalIP": spec.external_ips,
            "loadBalancerIP": tuple(each.ip for each in ingress),
        }
        for source, texts in addresses.items():
            for text in texts:
                if _is_in(text, wanted):
                    yield f"{source} {text} of {service.ref}"


def _is_in(text: str, wanted: Prefix) -> bool:
    try:
        address = parse_prefix(text)
    except ValueError:
        return False  # "None", "" and what the compiler reports on the object
    return address.version == wanted.version and address.subnet_of(wanted)  # type: ignore[arg-type]
