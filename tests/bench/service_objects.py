"""Documents of a synthetic cluster with services: 20 nodes, 1,000 pods, services with so many endpoints each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tests.bench import policy_objects
from tests.bench.objects import NAMESPACE, Document, node_name, pod_cidr

PORT, TARGET_PORT = 80, 8080
_NEW = IPv4Address("10.200.0.0")
_OTHERS, _PODS = 19, 250


@dataclass(frozen=True, kw_only=True)
class Size:
    """Every service has a cluster IP, one port, one slice. Endpoints are on other nodes than the first."""

    services: int = 1_000
    endpoints: int = 10


def cluster_ip(number: int) -> IPv4Address:
    return IPv4Address("10.96.8.0") + number


def new_endpoint(number: int) -> IPv4Address:
    """The address of a pod that was not there from the start."""
    return _NEW + number


def contents(size: Size) -> Iterator[Document]:
    yield from policy_objects.contents(policy_objects.Size(policies=0))
    for number in range(size.services):
        yield service(service_name(number), cluster_ip(number))
        yield endpoint_slice(service_name(number), _endpoints(number, size))


def changed(number: int, size: Size, change: int) -> Document:
    """A merge patch for the service's slice: one of its endpoints has another address than any one before."""
    endpoints = [_endpoint(*each) for each in _endpoints(number, size)]
    endpoints[change % size.endpoints]["addresses"] = [str(new_endpoint(change))]
    return {"endpoints": endpoints}


def slice_name(number: int) -> str:
    return f"{service_name(number)}-1"


def service_name(number: int) -> str:
    return f"s{number}"


def service(name: str, address: IPv4Address) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(address),
            "clusterIPs": [str(address)],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "web", "port": PORT, "protocol": "TCP", "targetPort": TARGET_PORT}],
        },
    }


def endpoint_slice(name: str, endpoints: Iterable[tuple[str, str]]) -> Document:
    """Of the service of this name; endpoints are addresses and nodes."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": TARGET_PORT, "protocol": "TCP"}],
        "endpoints": [_endpoint(*each) for each in endpoints],
    }


def _endpoints(number: int, size: Size) -> list[tuple[str, str]]:
    """Those that the service begins with."""
    first = number * size.endpoints
    return [_pod(each) for each in range(first, first + size.endpoints)]


def _pod(number: int) -> tuple[str, str]:
    node = 2 + number % _OTHERS
    return str(IPv4Network(pod_cidr(node))[2 + number // _OTHERS % _PODS]), node_name(node)


def _endpoint(address: str, node: str) -> Document:
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": node,
    }
