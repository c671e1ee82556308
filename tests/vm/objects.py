"""Services on the pods of tests/vm/world.py, as documents of the API, for agents that read a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.world import PORT, Pod

CLUSTER_IPS = {Family.IPV4: "10.96.0.10", Family.IPV6: "fd00:96::10"}
_TCP = (Protocol.TCP,)


def service(
    name: str, protocols: Iterable[Protocol] = _TCP, annotations: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """At CLUSTER_IPS. `spec` in the API's words comes in addition, or instead."""
    ports = [{"name": each.lower(), "protocol": each, "port": 80, "targetPort": PORT} for each in protocols]
    addresses = {"clusterIPs": [*CLUSTER_IPS.values()], "ipFamilies": [*CLUSTER_IPS]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": {**addresses, "ports": ports, **spec},
    }


def endpoints(
    name: str,
    pods: Iterable[Pod],
    protocols: Iterable[Protocol] = _TCP,
    conditions: Mapping[str, Mapping[str, bool]] | None = None,
) -> list[dict[str, Any]]:
    """The service's slices, one for each family. Pods are ready but for `conditions` by their name."""
    return [_slice(name, list(pods), list(protocols), conditions or {}, of) for of in Family]


def _slice(
    name: str, pods: list[Pod], protocols: list[Protocol], conditions: Mapping[str, Mapping[str, bool]], of: Family
) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-{of.digit}", "namespace": "default", "labels": labels},
        "addressType": of,
        "ports": [{"name": each.lower(), "protocol": each, "port": PORT} for each in protocols],
        "endpoints": [
            {
                "addresses": [str(pod.addresses[of])],
                "conditions": conditions.get(pod.name, {"ready": True}),
                "nodeName": pod.node,
                "targetRef": {"kind": "Pod", "namespace": "default", "name": pod.name},
            }
            for pod in pods
        ],
    }
