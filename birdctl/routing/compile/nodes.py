"""What a Node object says about routing: addresses, pod CIDRs, ASN, reflector roles, readiness.

The facts of a node are the same on whatever node they are compiled: both ends of a session must come to the same
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from birdctl.addresses import Address, Family, Prefix, family, parse_prefix, sort_key
from birdctl.cluster.annotations import annotation
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import node_addresses, pod_cidrs
from birdctl.cluster.objects import Labels, Node
from birdctl.errors import InputError
from birdctl.routing.compile import values
from birdctl.routing.model import Attributes
from birdctl.routing.options import RoutingOptions

T = TypeVar("T")


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`addresses` is the one address per family that BGP uses, `every_address` all the object knows.

    `listens_only`: BGP listens on `addresses` alone. `serves` is the cluster ID the node reflects for, `served_by`
    that of its reflectors. `not_ready_since` is a time in seconds since the epoch, 0 when unknown, None when ready.
    """

    name: str
    ref: str
    labels: Labels
    addresses: Mapping[Family, Address]
    every_address: frozenset[Address]
    listens_only: bool
    pod_cidrs: tuple[Prefix, ...]
    asn: int | None
    serves: str | None
    served_by: str | None
    not_ready_since: float | None
    problems: tuple[InputError, ...]

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(self.addresses)

    def cidrs(self, of: Family) -> tuple[Prefix, ...]:
        return tuple(prefix for prefix in self.pod_cidrs if family(prefix) is of)


class NodePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's annotations ask of its own external sessions, and never to import from anybody."""

    attributes: Attributes
    rejected: tuple[Prefix, ...]
    problems: tuple[InputError, ...]


def facts(node: Node, options: RoutingOptions) -> NodeFacts:
    faults = Faults(node.ref)
    known = tuple(node_addresses(node, faults))
    listened = tuple(_listed(node, "bgp-local-addresses", values.unicast, faults))
    addresses = _one_per_family(known, listened, options)
    if not addresses:
        faults.add("status.addresses", "no usable InternalIP or ExternalIP of an enabled family: no session with it")
    return NodeFacts(
        name=node.name,
        ref=node.ref,
        labels=node.metadata.labels,
        addresses=addresses,
        every_address=frozenset(known + listened),
        listens_only=bool(listened),
        pod_cidrs=_pod_cidrs(node, addresses, faults),
        asn=_annotated(node, "node.asn", values.asn_text, faults),
        serves=_annotated(node, "rr.server", values.cluster_id, faults),
        served_by=_annotated(node, "rr.client", values.cluster_id, faults),
        not_ready_since=_not_ready_since(node),
        problems=tuple(faults),
    )


def policy(node: Node) -> NodePolicy:
    faults = Faults(node.ref)
    standard: set[values.Community] = set()
    large: set[values.LargeCommunity] = set()
    for few, many in _listed(node, "node.bgp.communities", lambda text: values.communities([text]), faults):
        standard.update(few)
        large.update(many)
    rejected = _listed(node, "node.bgp.customimportreject", parse_prefix, faults)
    return NodePolicy(
        attributes=Attributes(
            communities=tuple(sorted(standard)),
            large_communities=tuple(sorted(large)),
            prepend=_prepend(node, faults),
        ),
        rejected=tuple(sorted(set(rejected), key=sort_key)),
        problems=tuple(faults),
    )


def _one_per_family(
    known: Iterable[Address], listened: tuple[Address, ...], options: RoutingOptions
) -> dict[Family, Address]:
    """The first address that BGP listens on, of each enabled family the node has."""
    first: dict[Family, Address] = {}
    for address in known:
        if not listened or address in listened:
            first.setdefault(family(address), address)
    for address in listened:
        first.setdefault(family(address), address)
    enabled = {Family.IPV4: options.enable_ipv4, Family.IPV6: options.enable_ipv6}
    return {each: first[each] for each in Family if enabled[each] and each in first}


def _pod_cidrs(node: Node, addresses: Mapping[Family, Address], faults: Faults) -> tuple[Prefix, ...]:
    return tuple(sorted((prefix for prefix in pod_cidrs(node, faults) if family(prefix) in addresses), key=sort_key))


def _annotated(node: Node, name: str, parse: Callable[[str], T], faults: Faults) -> T | None:
    found = annotation(node.metadata.annotations, name)
    return faults.read(found.field, parse, found.word) if found else None


def _listed(node: Node, name: str, parse: Callable[[str], T], faults: Faults) -> Iterator[T]:
    """The entries of a comma list that can be understood: a bad one is a fault of its own."""
    found = annotation(node.metadata.annotations, name)
    for text in found.items() if found else ():
        value = faults.read(found.field, parse, text) if found and text else None
        if value is not None:
            yield value


def _prepend(node: Node, faults: Faults) -> tuple[int, ...]:
    asn = _annotated(node, "path-prepend.as", values.asn_text, faults)
    repeat = _annotated(
        node, "path-prepend.repeat-n", lambda text: values.number(text, 1, values.MOST_PREPENDS), faults
    )
    if asn and repeat:
        return (asn,) * repeat
    if asn and not faults:
        faults.add("metadata.annotations", "path-prepend.as needs path-prepend.repeat-n")
    return ()


def _not_ready_since(node: Node) -> float | None:
    ready = next((condition for condition in node.status.conditions if condition.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return None
    try:
        return datetime.fromisoformat(ready.last_transition_time).timestamp()
    except ValueError:
        return 0.0
