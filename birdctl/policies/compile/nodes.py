"""The addresses of nodes."""

from __future__ import annotations

from birdctl.addresses import Family, family
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import node_addresses
from birdctl.cluster.objects import Node
from birdctl.cluster.store import Cluster
from birdctl.netfilter.model import IpSet, SetType
from birdctl.policies.compile.matches import used_set
from birdctl.policies.compile.peers import Nodes


def node_set(peer: Nodes, its_family: Family, cluster: Cluster) -> IpSet:
    """The addresses of the nodes that `peer` selects, those that can be read."""
    found = (
        address
        for node in cluster.objects(Node).values()
        if peer.nodes.matches(node.metadata.labels)
        for address in node_addresses(node, Faults(node.ref))
    )
    return IpSet(
        name=used_set(peer, its_family),
        type=SetType.IP,
        family=its_family,
        entries=frozenset(address for address in found if family(address) is its_family),
        meaning=str(peer),
    )
