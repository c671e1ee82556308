"""What decides about every service alike: the settings, this node, the other nodes, the pools."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from birdctl.addresses import Address, Family, Prefix, family, sort_key
from birdctl.cluster import pools
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import addresses_of_type, node_addresses, pod_cidrs
from birdctl.cluster.objects import Node
from birdctl.cluster.serviceaddresses import AddressRules
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.services.options import ServiceOptions

_ZONE = "topology.kubernetes.io/zone"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The part that each service depends on. `node_ports` is where NodePorts answer."""

    node: str
    zone: str
    node_ports: tuple[Address, ...]
    families: tuple[Family, ...]
    validation: AddressRules
    options: ServiceOptions

    def excludes(self, address: Address) -> bool:
        """Whether others serve there."""
        return any(address in prefix for prefix in self.options.excluded_cidrs)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """`hosts` names the node of every address that a node has, as far as the API or, for this one, the kernel knows.
    `pods`, `local_pods`, `sources` and `node_addresses` are the state's.
    """

    context: Context
    hosts: Mapping[Address, str]
    pods: frozenset[Prefix]
    local_pods: frozenset[Prefix]
    sources: Mapping[Family, Address]
    node_addresses: frozenset[Address]
    problems: tuple[InputError, ...]


def survey(name: str, options: ServiceOptions, cluster: Cluster, local: Collection[Address]) -> Surroundings:
    """What there is around the services on the node `name`; `local` are all addresses it has of its own."""
    nodes = cluster.objects(Node)
    faults = Faults(f"Node {name}")
    own = nodes.get(name)
    known = tuple(node_addresses(own, faults)) if own else ()
    if not known:
        faults.add("status.addresses" if own else "", "is not known or has no address: no NodePort is served")
    quiet = Faults("")  # routing tells what is wrong with other nodes
    cidrs = {node.name: pod_cidrs(node, quiet) for node in nodes.values()}
    enabled = {Family.IPV4: options.enable_ipv4, Family.IPV6: options.enable_ipv6}
    sources: dict[Family, Address] = {}
    for address in known:
        sources.setdefault(family(address), address)
    validation, pool_problems = _validation(options, cluster)
    context = Context(
        node=name,
        zone=own.metadata.labels.get(_ZONE, "") if own else "",
        node_ports=_node_ports(own, options, local) if own else (),
        families=tuple(each for each in Family if enabled[each]),
        validation=validation,
        options=options,
    )
    return Surroundings(
        context=context,
        hosts=dict.fromkeys(local, name)
        | {address: node.name for node in nodes.values() for address in node_addresses(node, quiet)},
        pods=frozenset[Prefix]().union(*cidrs.values()),
        local_pods=cidrs.get(name, frozenset()),
        sources=sources,
        node_addresses=frozenset((*known, *local)),
        problems=(*faults, *pool_problems),
    )


def _validation(options: ServiceOptions, cluster: Cluster) -> tuple[AddressRules, tuple[InputError, ...]]:
    found, problems = pools.ranges(cluster.objects(AddressPool).values(), options.service_cluster_ip_range)
    strict = options.strict_external_ip_validation
    rules = AddressRules(
        cluster=options.service_cluster_ip_range,
        external=options.service_external_ip_range if strict else None,
        load_balancer=(*options.loadbalancer_ip_range, *found) if strict else None,
    )
    return rules, problems


def _node_ports(node: Node, options: ServiceOptions, local: Iterable[Address]) -> tuple[Address, ...]:
    """The internal addresses, external ones of a family without; or all that others can reach."""
    quiet = Faults("")
    found = set(addresses_of_type(node, "InternalIP", quiet))
    families = {family(address) for address in found}
    found.update(each for each in addresses_of_type(node, "ExternalIP", quiet) if family(each) not in families)
    if options.nodeport_bindon_all_ip:
        found.update(each for each in local if not (each.is_loopback or each.is_link_local))
    return tuple(sorted(found, key=sort_key))
