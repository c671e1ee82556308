"""From the object to the peers: its addresses and where they come from, its policies, which endpoints serve here and
why others do not, what kernel and BIRD have of it. Told by the agent, or read from --manifests or --kubeconfig.

Exit code 1: the kernel has something else than the objects say. 2: something of a node could not be read.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from birdctl.addresses import parse_address, parse_prefix
from birdctl.cli import parser as parsers
from birdctl.cli import places, show
from birdctl.cli.explain import route
from birdctl.cli.explain.view import ExplanationView, answer, synced
from birdctl.cli.output import add_form
from birdctl.cli.places import Place
from birdctl.errors import BirdctlError, InputError, Unavailable
from birdctl.observe import service_objects
from birdctl.observe.route_path import Evidence
from birdctl.observe.service_objects import ServiceObjects
from birdctl.observe.service_path import Kernel, Seen, ServiceExplanation, explain
from birdctl.reconcile import control, sources
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.store import Cluster

_SETTINGS = (
    *("manifests", "service_cluster_ip_range", "service_external_ip_range", "loadbalancer_ip_range"),
    *("strict_external_ip_validation", "excluded_cidrs", "ipvs_scheduler", "advertise_cluster_ip"),
    *("advertise_external_ip", "advertise_loadbalancer_ip", "advertise_without_endpoints"),
)


VIEW: ExplanationView[ServiceExplanation] = ExplanationView(
    kind="ServiceExplanationList",
    what="explanations",
    name=lambda item: f"explanation/{item.node}/{item.namespace}/{item.name}",
    heading=lambda item: f"{item.namespace}/{item.name} on node {item.node}",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", metavar="SERVICE", help="NAMESPACE/NAME")
    add_form(parser, ("text", "json", "yaml"))
    show.add_targets(parser)
    parsers.add_settings(parser, _SETTINGS)


def run(args: argparse.Namespace) -> int:
    settings = dataclasses.replace(Settings.load(args, os.environ), run_service_proxy=True)
    found, failures = _in_lab(args, settings) if args.lab else (list(_here(args, settings)), [])
    if failures and not found:
        raise Unavailable("; ".join(failures))
    disagreement = "the kernel disagrees with the objects; see `birdctl show status` and `birdctl plan`"
    return answer(VIEW, found, args.output, failures, disagreement)


def _in_lab(args: argparse.Namespace, settings: Settings) -> tuple[list[ServiceExplanation], list[str]]:
    nodes = places.named(places.of_lab(args.lab, settings.runtime_dir, only_ours=True), args.nodes)
    return places.ask_all(nodes, lambda place: [_explanation(args, settings, place.node, place)])


def _here(args: argparse.Namespace, settings: Settings) -> Iterator[ServiceExplanation]:
    """Of other nodes only what objects tell is within reach."""
    here = places.local(settings)
    for node in args.nodes or [here.node]:
        yield _explanation(args, settings, node, here if node == here.node and here.has_birdctl else None)


def _explanation(args: argparse.Namespace, settings: Settings, node: str, place: Place | None) -> ServiceExplanation:
    """Once more where an agent needs a moment until its node is what the objects say."""
    found = _looked(args, settings, node, place)
    if place and found.agrees is False and synced([place]):
        found = _looked(args, settings, node, place)
    return found


def _looked(args: argparse.Namespace, settings: Settings, node: str, place: Place | None) -> ServiceExplanation:
    objects = _objects(args, dataclasses.replace(settings, node=node), place)
    return explain(objects, _seen(place, objects) if place else None)


def _objects(args: argparse.Namespace, settings: Settings, place: Place | None) -> ServiceObjects:
    """As the agent knows them, by its own settings; from the source, when a flag names one or no agent answers."""
    if place and not {"manifests", "kubeconfig"} & vars(args).keys():
        try:
            return control.ask_for(ServiceObjects, place.runtime_dir, "service", name=args.service)
        except Unavailable:
            if not sources.is_known(settings):
                raise
    return _of_source(settings, sources.load(settings), args.service)


def _of_source(settings: Settings, cluster: Cluster, service: str) -> ServiceObjects:
    from birdctl.allocation.allocate import allocate  # noqa: PLC0415 - only without an agent
    from birdctl.services.compile import ServiceCompiler  # noqa: PLC0415

    options, node = settings.services(), places.existing_node(cluster, settings.node)
    compiled = ServiceCompiler(node, options).compile(cluster)
    found = service_objects.describe(
        cluster,
        service,
        node=node,
        options=options,
        part=compiled.services.get(service),
        state=compiled.state,
        problems=(*cluster.errors.values(), *compiled.problems, *allocate(cluster, settings.allocation()).problems),
    )
    return _with_routing(found, settings, cluster) if settings.run_router else found


def _with_routing(found: ServiceObjects, settings: Settings, cluster: Cluster) -> ServiceObjects:
    from birdctl.routing.compile import RoutingCompiler  # noqa: PLC0415 - only without an agent

    compiler = RoutingCompiler(settings.node, settings.routing())
    try:
        return service_objects.with_routing(found, compiler.decisions(cluster, found.service, now=time.time()), {})
    except InputError as error:
        return service_objects.without_routing(found, error)


def _seen(place: Place, objects: ServiceObjects) -> Seen:
    return Seen(kernel=_kernel(place), routes=_routes(place, objects) if objects.announced else {})


def _kernel(place: Place) -> Kernel | str:
    from birdctl.services.ipvs import IpvsBackend  # noqa: PLC0415 - only where there may be services
    from birdctl.services.links import VipDevice  # noqa: PLC0415
    from birdctl.services.netfilter import ServiceNetfilter  # noqa: PLC0415

    try:
        with place.inside():
            backends = ipvs, device, rules = IpvsBackend(), VipDevice(), ServiceNetfilter()
            try:
                own = device.local_addresses()
                return Kernel(servers=ipvs.read(), vips=device.read(), own=own, rules=rules.read())
            finally:
                for each in backends:
                    each.close()
    except BirdctlError as error:
        return str(error)


def _routes(place: Place, objects: ServiceObjects) -> dict[str, list[Evidence]] | str:
    """Of what is announced by its own prefix or an aggregate."""
    prefixes = [
        parse_prefix(prefix)
        for found in place.inventory().originated.values()
        for prefix, source in found.items()
        if source != "pod"
    ]
    try:
        return {
            each.address: [
                route.gather(place, prefix, is_address=False)
                for prefix in prefixes
                if parse_address(each.address) in prefix
            ]
            for each in objects.announced or ()
            if not each.reason
        }
    except BirdctlError as error:
        return str(error)
