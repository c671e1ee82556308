"""All of a node's configuration that does not depend on single services: sessions, policies, pod CIDRs, checks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from birdctl.addresses import Family, Prefix
from birdctl.cluster import objects
from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.routing.compile import advertisements, filters, nodes, peer_lists, peer_objects, pools, topology
from birdctl.routing.compile.advertisements import Advertisement
from birdctl.routing.compile.book import Placed
from birdctl.routing.compile.configuration import Configuration, configuration
from birdctl.routing.compile.faults import Faults
from birdctl.routing.compile.nodes import NodeFacts
from birdctl.routing.compile.peers import External, Peer, Surroundings, externals
from birdctl.routing.compile.services import Rules
from birdctl.routing.model import Attributes, Filter, Originated, Session
from birdctl.routing.options import RoutingOptions


class Unusable(Exception):  # noqa: N818 - a reason, not an error of the program
    """This node cannot be configured at all; nothing may be torn down for that."""

    def __init__(self, *problems: InputError) -> None:
        self.problems = problems
        super().__init__(*problems)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Made from every object but services, their slices and namespaces."""

    version: tuple[int, ...]
    own: NodeFacts
    router_id: str
    sessions: tuple[Session, ...]
    pods: tuple[Originated, ...]
    externals: tuple[External, ...]
    policy: Attributes
    advertisements: Mapping[str, Advertisement]
    rules: Rules
    fixed_filters: tuple[Filter, ...]
    problems: tuple[InputError, ...]
    recheck_at: float | None

    def filters(self, classes: Collection[Placed]) -> Iterator[Filter]:
        """All filters, when the services have these classes."""
        yield from self.fixed_filters
        for external in self.externals:
            yield from filters.export_filters(external, self.policy, self.advertisements, classes)


def build(name: str, options: RoutingOptions, cluster: Cluster, version: tuple[int, ...], now: float) -> Frame:
    """The frame of the node `name`. Raises Unusable."""
    node = cluster.get(objects.Node, name)
    if node is None:
        raise Unusable(InputError(f"Node {name}", "", "does not exist: what runs stays as it is"))
    every = {item.name: nodes.facts(item, options) for item in cluster.objects(objects.Node).values()}
    own = every[name]
    if not own.addresses:
        raise Unusable(*own.problems)
    settings, configuration_problems = configuration(cluster.objects(BGPConfiguration), options)
    fabric = topology.fabric(own, every, settings, options, now)
    if fabric.asn is None:
        raise Unusable(*own.problems, *fabric.problems)
    policy = nodes.policy(node)
    pool_ranges, pool_problems = pools.ranges(cluster.objects(AddressPool).values(), options.service_cluster_ip_range)
    wanted, peer_problems = _wanted_peers(node, own, every, settings, options, cluster)
    around = Surroundings(
        own=own,
        nodes=every,
        neighbours={session.address: session.origin for session in fabric.sessions if session.address},
        asn=fabric.asn,
        configuration=settings,
        version=version,
    )
    external, external_problems = externals(wanted, around)
    names = {item.name for item in cluster.objects(BGPPeer).values()} | {peer.name for peer in wanted}
    found, advertisement_problems = advertisements.read(cluster.objects(BGPAdvertisement).values(), names)
    guards = filters.Guards(
        own=own.pod_cidrs,
        pods=tuple(prefix for each in every.values() for prefix in each.pod_cidrs),
        services=(
            *options.service_cluster_ip_range,
            *options.service_external_ip_range,
            *options.loadbalancer_ip_range,
            *pool_ranges,
        ),
        rejected=policy.rejected,
    )
    return Frame(
        version=version,
        own=own,
        router_id=_router_id(own, options),
        sessions=tuple(
            sorted((*fabric.sessions, *(each.session for each in external)), key=lambda session: session.name)
        ),
        pods=tuple(_pods(own)),
        externals=external,
        policy=filters.outgoing_policy(settings.attributes, policy),
        advertisements=found,
        rules=_rules(own, settings, options, found, pool_ranges),
        fixed_filters=tuple(_fixed_filters(own, external, guards)),
        problems=(
            *configuration_problems,
            *_node_problems(own, every),
            *policy.problems,
            *fabric.problems,
            *pool_problems,
            *peer_problems,
            *external_problems,
            *advertisement_problems,
        ),
        recheck_at=fabric.recheck_at,
    )


def _wanted_peers(
    node: objects.Node,
    own: NodeFacts,
    every: Mapping[str, NodeFacts],
    settings: Configuration,
    options: RoutingOptions,
    cluster: Cluster,
) -> tuple[list[Peer], list[InputError]]:
    """The peers of this node: first BGPPeers by name, then those of settings or annotations."""

    def secret(name: str) -> objects.Secret | None:
        return cluster.get(objects.Secret, f"{options.namespace}/{name}")

    wanted: list[Peer] = []
    problems: list[InputError] = []
    for item in sorted(cluster.objects(BGPPeer).values(), key=lambda item: item.name):
        faults = Faults(item.ref)
        peer = peer_objects.peer(item, settings, secret, every.values(), faults)
        problems += faults
        if not faults and peer_objects.selects(item, own):
            wanted.append(peer)
    listed, list_problems = peer_lists.peers(node, settings, options)
    return wanted + listed, problems + list_problems


def _rules(
    own: NodeFacts,
    settings: Configuration,
    options: RoutingOptions,
    found: Mapping[str, Advertisement],
    pool_ranges: tuple[Prefix, ...],
) -> Rules:
    strict = options.strict_external_ip_validation
    return Rules(
        node=own.name,
        families=frozenset(own.families),
        advertise=settings.advertise,
        advertisements=tuple(found.values()),
        without_endpoints=options.advertise_without_endpoints,
        cluster_ranges=options.service_cluster_ip_range,
        external_ranges=options.service_external_ip_range if strict else None,
        load_balancer_ranges=(*options.loadbalancer_ip_range, *pool_ranges) if strict else None,
    )


def _fixed_filters(own: NodeFacts, external: tuple[External, ...], guards: filters.Guards) -> Iterator[Filter]:
    """Those that no service changes."""
    for each in own.families:
        yield from filters.between_nodes(each, guards)
    for item in external:
        yield from filters.import_filters(item, guards)


def _pods(own: NodeFacts) -> Iterator[Originated]:
    for each in own.families:
        prefixes = own.cidrs(each)
        if prefixes:
            yield Originated(
                name=filters.pods_protocol(each),
                family=each,
                origin=f"{own.ref}: pod CIDRs",
                prefixes=prefixes,
                sources=("pod",) * len(prefixes),
            )


def _node_problems(own: NodeFacts, every: Mapping[str, NodeFacts]) -> Iterator[InputError]:
    """All that is wrong with this node, and of the others only what keeps them from a session."""
    yield from own.problems
    for node in every.values():
        if node is not own and not node.addresses:
            yield from node.problems
    if not own.pod_cidrs:
        yield InputError(own.ref, "spec.podCIDRs", "no pod CIDR of a family that the node has an address of")
    for prefix in own.pod_cidrs:
        for node in every.values():
            if node is not own and any(
                other.version == prefix.version and other.overlaps(prefix) for other in node.pod_cidrs
            ):
                yield InputError(own.ref, "spec.podCIDRs", f"{prefix} overlaps a pod CIDR of {node.ref}")


def _router_id(own: NodeFacts, options: RoutingOptions) -> str:
    """Given, else the IPv4 address, else made from the node's address: 32 bits, never 0 (RFC 6286)."""
    if options.router_id and options.router_id != "generate":
        return options.router_id
    if Family.IPV4 in own.addresses and not options.router_id:
        return str(own.addresses[Family.IPV4])
    address = str(next(iter(own.addresses.values())))
    number = int.from_bytes(hashlib.sha256(address.encode()).digest()[:4]) or 1
    return ".".join(str(byte) for byte in number.to_bytes(4))
