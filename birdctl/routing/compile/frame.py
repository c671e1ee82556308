"""All of a node's configuration that does not depend on single services: sessions, policies, pod CIDRs, checks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping

import msgspec

from birdctl.addresses import Family, Prefix, overlap
from birdctl.cluster import objects, pools
from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.faults import Faults
from birdctl.cluster.serviceaddresses import AddressRules
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.routing.compile import advertisements, filters, nodes, peer_lists, peer_objects, topology
from birdctl.routing.compile.advertisements import Advertisement
from birdctl.routing.compile.book import Placed
from birdctl.routing.compile.configuration import Configuration, configuration
from birdctl.routing.compile.nodes import NodeFacts, NodePolicy
from birdctl.routing.compile.peers import External, Peer, Surroundings, externals
from birdctl.routing.compile.services import Rules
from birdctl.routing.compile.topology import Fabric
from birdctl.routing.model import Attributes, Filter, Originated, PrefixSet, Session
from birdctl.routing.options import RoutingOptions


class Unusable(Exception):
    """The node cannot be configured at all; nothing may be torn down for that."""

    def __init__(self, *problems: InputError) -> None:
        self.problems = problems
        super().__init__(*problems)


class Frame(msgspec.Struct, frozen=True, kw_only=True, eq=False):
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
    prefix_sets: tuple[PrefixSet, ...]
    fixed_filters: tuple[Filter, ...]
    problems: tuple[InputError, ...]
    recheck_at: float | None

    def filters(self, classes: Collection[Placed]) -> Iterator[Filter]:
        """All filters, when the services have these classes."""
        yield from self.fixed_filters
        for external in self.externals:
            yield from filters.export_filters(external, self.policy, self.advertisements, classes)


class _Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of a frame are made from. `asn` is the node's own."""

    node: objects.Node
    own: NodeFacts
    nodes: Mapping[str, NodeFacts]
    configuration: Configuration
    fabric: Fabric
    asn: int
    options: RoutingOptions
    cluster: Cluster
    version: tuple[int, ...]


def build(name: str, options: RoutingOptions, cluster: Cluster, version: tuple[int, ...], now: float) -> Frame:
    """The frame of the node `name`. Raises Unusable."""
    node = cluster.get(objects.Node, name)
    if node is None:
        raise Unusable(InputError(f"Node {name}", "", "does not exist: what runs stays as it is"))
    every = {item.name: nodes.facts(item, options) for item in cluster.objects(objects.Node).values()}
    own = every[name]
    settings, problems = configuration(cluster.objects(BGPConfiguration), options)
    fabric = topology.fabric(own, every, settings, options, now)
    if not own.addresses or fabric.asn is None:
        raise Unusable(*(fabric.problems if fabric.asn is None else own.problems), *problems)
    scene = _Scene(
        node=node,
        own=own,
        nodes=every,
        configuration=settings,
        fabric=fabric,
        asn=fabric.asn,
        options=options,
        cluster=cluster,
        version=version,
    )
    return _frame(scene, problems)


def _frame(scene: _Scene, problems: tuple[InputError, ...]) -> Frame:
    own, options, cluster = scene.own, scene.options, scene.cluster
    policy = nodes.policy(scene.node)
    pool_ranges, pool_problems = pools.ranges(cluster.objects(AddressPool).values(), options.service_cluster_ip_range)
    wanted, peer_problems = _wanted_peers(scene)
    external, external_problems = externals(wanted, _surroundings(scene))
    names = {item.name for item in cluster.objects(BGPPeer).values()} | {peer.name for peer in wanted}
    found, advertisement_problems = advertisements.read(cluster.objects(BGPAdvertisement).values(), names)
    guards = _guards(scene, policy, pool_ranges)
    sets = {each.name: each for family_ in own.families for each in filters.prefix_sets(family_, guards)}
    sessions = (*scene.fabric.sessions, *(each.session for each in external))
    return Frame(
        version=scene.version,
        own=own,
        router_id=_router_id(own, options),
        sessions=tuple(sorted(sessions, key=lambda session: session.name)),
        pods=tuple(_pods(own)),
        externals=external,
        policy=filters.outgoing_policy(scene.configuration.attributes, policy.attributes),
        advertisements=found,
        rules=_rules(scene, tuple(found.values()), pool_ranges),
        prefix_sets=tuple(sets.values()),
        fixed_filters=tuple(_fixed_filters(own, external, guards, sets)),
        problems=(
            *problems,
            *_node_problems(own, scene.nodes),
            *policy.problems,
            *scene.fabric.problems,
            *pool_problems,
            *peer_problems,
            *external_problems,
            *advertisement_problems,
        ),
        recheck_at=scene.fabric.recheck_at,
    )


def _wanted_peers(scene: _Scene) -> tuple[list[Peer], list[InputError]]:
    """The peers of this node: first BGPPeers by name, then those of settings or annotations."""

    def secret(name: str) -> objects.Secret | None:
        return scene.cluster.get(objects.Secret, f"{scene.options.namespace}/{name}")

    wanted: list[Peer] = []
    problems: list[InputError] = []
    for item in sorted(scene.cluster.objects(BGPPeer).values(), key=lambda item: item.name):
        faults = Faults(item.ref)
        peer = peer_objects.peer(item, scene.configuration, secret, scene.nodes.values(), faults)
        problems += faults
        if not faults and peer_objects.selects(item, scene.own):
            wanted.append(peer)
    listed, list_problems = peer_lists.peers(scene.node, scene.configuration, scene.options)
    return wanted + listed, problems + list_problems


def _surroundings(scene: _Scene) -> Surroundings:
    return Surroundings(
        own=scene.own,
        nodes=scene.nodes,
        neighbours={session.address: session.origin for session in scene.fabric.sessions if session.address},
        asn=scene.asn,
        configuration=scene.configuration,
        version=scene.version,
    )


def _guards(scene: _Scene, policy: NodePolicy, pool_ranges: tuple[Prefix, ...]) -> filters.Guards:
    """A service range that overlaps pod CIDRs guards nothing: refusing it would refuse the pods."""
    options = scene.options
    pods = tuple(prefix for each in scene.nodes.values() for prefix in each.pod_cidrs)
    ranges = (
        *options.service_cluster_ip_range,
        *options.service_external_ip_range,
        *options.loadbalancer_ip_range,
        *pool_ranges,
    )
    return filters.Guards(
        own=scene.own.pod_cidrs,
        pods=pods,
        services=tuple(each for each in ranges if not any(overlap(each, prefix) for prefix in pods)),
        rejected=policy.rejected,
    )


def _rules(scene: _Scene, found: tuple[Advertisement, ...], pool_ranges: tuple[Prefix, ...]) -> Rules:
    options, strict = scene.options, scene.options.strict_external_ip_validation
    return Rules(
        node=scene.own.name,
        families=frozenset(scene.own.families),
        advertise=scene.configuration.advertise,
        advertisements=found,
        without_endpoints=options.advertise_without_endpoints,
        only_programmed=options.only_programmed,
        addresses=AddressRules(
            cluster=options.service_cluster_ip_range,
            external=options.service_external_ip_range if strict else None,
            load_balancer=(*options.loadbalancer_ip_range, *pool_ranges) if strict else None,
        ),
    )


def _fixed_filters(
    own: NodeFacts, external: tuple[External, ...], guards: filters.Guards, sets: Mapping[str, PrefixSet]
) -> Iterator[Filter]:
    """Those that no service changes."""
    for each in own.families:
        yield from filters.between_nodes(each, guards)
    for item in external:
        yield from filters.import_filters(item, sets)


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
            if node is not own and any(overlap(prefix, other) for other in node.pod_cidrs):
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
