"""Documents of a synthetic cluster with network policies: every policy and every selector in use is another one.

Pods have one of 20 apps and one of 3 tiers in one of 10 namespaces. A policy selects an app of its namespace, lets a
tier of it and an address block in, and out to the namespaces of a team.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from birdctl.addresses import Address, Family
from tests.bench.objects import Document, node, node_name, pod_cidr

NAMESPACES, APPS, TIERS, TEAMS = 10, 20, 3, 5
_PODS_OF_A_NODE = 250


@dataclass(frozen=True, kw_only=True)
class Size:
    """Pods with numbers below `local` are on node 1, the others spread over as many nodes as they need."""

    local: int = 100
    pods: int = 1000
    policies: int = 200
    nodes: int = 20
    family: Family = Family.IPV4

    @property
    def remote(self) -> range:
        """The numbers of the pods on other nodes."""
        return range(self.local, self.pods)


def namespace_of(number: int) -> str:
    return f"ns{number % NAMESPACES}"


def address_of(number: int, size: Size) -> Address:
    """A pod's own address."""
    on, position = _place(number, size)
    assert position < _PODS_OF_A_NODE
    pods = IPv4Network(pod_cidr(on)) if size.family is Family.IPV4 else IPv6Network(f"fd00:128:{on:x}::/64")
    return pods[2 + position]


def tier(number: int) -> str:
    return f"t{number % TIERS}"


def namespaces() -> Iterator[Document]:
    for number in range(NAMESPACES):
        metadata = {"name": namespace_of(number), "labels": {"team": f"x{number % TEAMS}"}}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def contents(size: Size) -> Iterator[Document]:
    """Everything but the namespaces, which have to be there first."""
    yield from (node(number) for number in range(1, size.nodes + 1))
    yield from (_pod(number, size) for number in range(size.pods))
    yield from (_policy(number, size.family) for number in range(size.policies))


def _place(number: int, size: Size) -> tuple[int, int]:
    """The node's index, and which of its pods it is."""
    if number < size.local:
        return 1, number
    remote, others = number - size.local, size.nodes - 1
    return 2 + remote % others, remote // others


def _pod(number: int, size: Size) -> Document:
    address = str(address_of(number, size))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"p{number}",
            "namespace": namespace_of(number),
            "labels": {"app": _app(number), "tier": tier(number)},
        },
        "spec": {
            "nodeName": node_name(_place(number, size)[0]),
            "containers": [{"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 8080}]}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _app(number: int) -> str:
    return f"a{number // NAMESPACES % APPS}"


def _block(number: int, family: Family) -> Document:
    part = number % 256
    if family is Family.IPV4:
        return {"cidr": f"192.168.{part}.0/24", "except": [f"192.168.{part}.128/25"]}
    return {"cidr": f"fd00:192:168:{part:x}::/64", "except": [f"fd00:192:168:{part:x}:8000::/65"]}


def _policy(number: int, family: Family) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"np{number}", "namespace": namespace_of(number)},
        "spec": {
            "podSelector": {"matchLabels": {"app": _app(number)}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchLabels": {"tier": tier(number)}}},
                        {"ipBlock": _block(number, family)},
                    ],
                    "ports": [{"port": 8080, "protocol": "TCP"}],
                }
            ],
            "egress": [
                {
                    "to": [{"namespaceSelector": {"matchLabels": {"team": f"x{number % TEAMS}"}}}],
                    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 5432, "protocol": "TCP"}],
                }
            ],
        },
    }
