"""Cluster objects in a few words, as documents of the API that are decoded as a manifest is.

pod("red/web", "10.1.1.2", on="n1", labels={"app": "web"}, ports={"http": 80})
policy("red/only-web", ingress=[{"from": [pods(app="web")]}])
cluster_policy("guard", 10, ingress=[deny(namespaces())])
"""

from __future__ import annotations

from ipaddress import ip_address

from birdctl.cluster.decode import decode
from birdctl.policies.packet import Packet

NETWORKING = "networking.k8s.io/v1"
CLUSTER_WIDE = "policy.networking.k8s.io/v1alpha2"


def node(name, *addresses, pods=(), labels=None, annotations=None):
    status = {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]}
    return _object("v1", "Node", name, {"podCIDRs": list(pods)}, labels=labels, annotations=annotations, status=status)


def namespace(name, **labels):
    return _object("v1", "Namespace", name, labels=labels)


def pod(
    name, *addresses, on="n1", labels=None, ports=None, phase="Running", host_network=False, sidecars=(), leaving=False
):
    """`ports`: name to number, or to (number, protocol); `sidecars` are init containers as in the API; `leaving`: it is
    being deleted.
    """
    numbers = {key: value if isinstance(value, tuple) else (value, "TCP") for key, value in (ports or {}).items()}
    containers = [
        {"ports": [{"name": key.strip("0123456789"), "containerPort": number, "protocol": protocol}]}
        for key, (number, protocol) in numbers.items()
    ]
    spec = {"nodeName": on, "hostNetwork": host_network, "containers": containers, "initContainers": list(sidecars)}
    status = {"phase": phase, "podIPs": [{"ip": address} for address in addresses]}
    return _object("v1", "Pod", name, spec, labels=labels, status=status, deleted="2026-01-01T00:00:00Z" * leaving)


def policy(name, selector=None, *, staged=False, **spec):
    """A NetworkPolicy; `spec` as in the API, policyTypes only if given."""
    return decode(policy_document(name, selector, staged=staged, **spec))


def policy_document(name, selector=None, *, staged=False, **spec):
    spec = {"podSelector": selector or {}, **spec}
    return _document(NETWORKING, "NetworkPolicy", name, spec, annotations=_staged(staged))


def cluster_policy(name, priority=10, *, tier="Admin", subject=None, staged=False, **spec):
    spec = {"tier": tier, "priority": priority, "subject": subject or {"namespaces": {}}, **spec}
    return decode(_document(CLUSTER_WIDE, "ClusterNetworkPolicy", name, spec, annotations=_staged(staged)))


def labels(**pairs):
    """A selector of these labels."""
    return {"matchLabels": pairs}


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def block(cidr, *excepts):
    return {"ipBlock": {"cidr": cidr, "except": list(excepts)}}


def packet(source, destination, port=80, protocol="tcp"):
    return Packet(source=ip_address(source), destination=ip_address(destination), protocol=protocol, port=port)


def _staged(staged):
    return {"birdctl.io/staged": "true"} if staged else {}


def _object(*args, **fields):
    return decode(_document(*args, **fields))


def _document(version, kind, name, spec=None, *, labels=None, annotations=None, status=None, deleted=""):
    space, _, name = name.rpartition("/")
    metadata = {"name": name, "namespace": space or None, "labels": labels or {}, "annotations": annotations or {}}
    metadata |= {"deletionTimestamp": deleted} if deleted else {}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec or {}, "status": status or {}}
