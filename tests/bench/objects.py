"""Documents of a synthetic cluster, as Kubernetes has them."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from tests.bench.network import address

Document = dict[str, Any]

EXTERNAL_ASN = 65001
SERVICE_RANGE = "198.18.0.0/15"
NAMESPACE = "default"


def node_name(index: int) -> str:
    return f"n{index}"


def pod_cidr(index: int) -> str:
    return f"{IPv4Address('10.128.0.0') + 256 * index}/24"


def service_address(index: int) -> str:
    """An external address of its own for every service."""
    return str(IPv4Address("198.18.0.0") + index)


def node(index: int) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node_name(index)},
        "spec": {"podCIDR": pod_cidr(index), "podCIDRs": [pod_cidr(index)]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address(index)}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(index: int) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"s{index}", "namespace": NAMESPACE},
        "spec": {
            "clusterIP": str(IPv4Address("10.96.8.0") + index),
            "externalIPs": [service_address(index)],
            "ports": [{"name": "web", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    }


def endpoint_slice(index: int) -> Document:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"s{index}-1",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": f"s{index}"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.128.1.2"], "conditions": {"ready": True}, "nodeName": node_name(1)}],
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
    }


def external_peer(index: int) -> Document:
    return {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "BGPPeer",
        "metadata": {"name": f"p{index}"},
        "spec": {"address": address(index), "asn": EXTERNAL_ASN},
    }


def configuration() -> Document:
    """Service addresses go to external peers."""
    return {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "BGPConfiguration",
        "metadata": {"name": "default"},
        "spec": {"advertise": {"podCIDRs": True, "externalIPs": True}},
    }


def cluster(nodes: int, external: int, services: int) -> list[Document]:
    """Nodes 1..`nodes`, external peers at the indexes after them, services with one address and an endpoint each."""
    return [
        configuration(),
        *(node(index) for index in range(1, nodes + 1)),
        *(external_peer(index) for index in range(nodes + 1, nodes + external + 1)),
        *(service(index) for index in range(services)),
        *(endpoint_slice(index) for index in range(services)),
    ]
