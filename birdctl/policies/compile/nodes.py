"""The addresses of nodes."""

from __future__ import annotations

from collections.abc import Iterator

from birdctl.addresses import Address, Family, Prefix, family, parse_address
from birdctl.cluster.objects import Node
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.netfilter.model import IpSet, SetType
from birdctl.policies.compile.cidrs import parse_cidr
from birdctl.policies.compile.matches import used_set
from birdctl.policies.compile.peers import Nodes

_TYPES = ("InternalIP", "ExternalIP")


def node_set(peer: Nodes, its_family: Family, cluster: Cluster) -> IpSet:
    """The addresses of the nodes that `peer` selects."""
    found = (
        address
        for node in cluster.objects(Node).values()
        if peer.nodes.matches(node.metadata.labels)
        for address in addresses(node)
    )
    return IpSet(
        name=used_set(peer, its_family),
        type=SetType.IP,
        family=its_family,
        entries=frozenset(address for address in found if family(address) is its_family),
        meaning=str(peer),
    )


def addresses(node: Node) -> Iterator[Address]:
    """Its own addresses, those that can be read."""
    for item in node.status.addresses:
        if item.type in _TYPES:
            try:
                yield parse_address(item.address)
            except ValueError:
                continue


def pod_prefixes(node: Node) -> Iterator[Prefix]:
    """The prefixes its pods' addresses come from, those that can be read."""
    for text in node.spec.pod_cidrs:
        try:
            yield parse_cidr(text, node.ref, "spec.podCIDRs")
        except InputError:  # routing tells
            continue
