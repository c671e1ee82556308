"""An example of everything that policies can make of a node, to try out whether a kernel takes it. Pure."""

from __future__ import annotations

from typing import Any

from birdctl.cluster.decode import decode
from birdctl.cluster.store import Cluster
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.model import PolicyState
from birdctl.policies.options import PolicyOptions

_NODE = "trial"
_ANYBODY: dict[str, Any] = {"podSelector": {}, "namespaceSelector": {}}


def trial(options: PolicyOptions) -> PolicyState:
    """Sets of every type and rules with every condition and target, for both families that are enabled."""
    documents = (_node(), *(_pod(number) for number in (1, 2)), _enforced(), _staged(), _cluster_wide())
    decoded = (decode(document) for document in documents)
    cluster = Cluster.of(*(item for item in decoded if item is not None))
    return PolicyCompiler(_NODE, options).compile(cluster).state


def _node() -> dict[str, Any]:
    return _object("v1", "Node", _NODE, namespaced=False, spec={"podCIDRs": ["192.0.2.0/24", "2001:db8::/64"]})


def _pod(number: int) -> dict[str, Any]:
    addresses = [{"ip": f"192.0.2.{number}"}, {"ip": f"2001:db8::{number}"}]
    ports = [{"name": "web", "containerPort": 80, "protocol": "TCP"}]
    spec = {"nodeName": _NODE, "containers": [{"name": "main", "ports": ports}]}
    return _object("v1", "Pod", f"pod{number}", spec=spec, status={"phase": "Running", "podIPs": addresses})


def _enforced() -> dict[str, Any]:
    blocks = [
        {"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.0/28"]}},
        {"ipBlock": {"cidr": "2001:db8:1::/48", "except": ["2001:db8:1:1::/64"]}},
    ]
    ports = [{"protocol": protocol, "port": 1024, "endPort": 2048} for protocol in ("TCP", "UDP", "SCTP")]
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [*blocks, _ANYBODY], "ports": ports}],
        "egress": [{"to": [_ANYBODY], "ports": [{"port": "web"}]}],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", "enforced", spec=spec)


def _staged() -> dict[str, Any]:
    document = _cluster_wide()
    document["metadata"] = {"name": "staged", "annotations": {"birdctl.io/staged": "true"}}
    return document


def _cluster_wide() -> dict[str, Any]:
    rule = {"action": "Deny", "to": [{"networks": ["203.0.113.0/24", "2001:db8:2::/48"]}]}
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [rule]}
    return _object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "enforced", namespaced=False, spec=spec)


def _object(version: str, kind: str, name: str, *, namespaced: bool = True, **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": "trial"} if namespaced else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
