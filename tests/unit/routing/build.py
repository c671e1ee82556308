"""Cluster objects in a few words, for tests that begin with what the cluster says.

    node("a", "10.0.0.1", pods="10.1.0.0/24", ready=True)
    service("web", cluster="10.96.0.1"), endpoints("web", on="a")
    bgp_peer("tor1", "10.0.0.9", 65001, password_secret=("bgp", "tor1"))

`compiled(...)` is the result on node `a`.
"""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

import msgspec

from birdctl.cluster.bgp import AddressPool, BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.objects import (
    Condition,
    EndpointSlice,
    Labels,
    Namespace,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    Object,
    ObjectMeta,
    Secret,
    Service,
)
from birdctl.cluster.store import Cluster
from birdctl.routing.compile import Compiled, RoutingCompiler
from birdctl.routing.model import Filter, Session
from birdctl.routing.options import RoutingOptions

VERSION = (2, 0, 12)
NOW = 1_800_000_000.0


def node(
    name: str,
    *addresses: str,
    pods: str | tuple[str, ...] = (),
    labels: Labels | None = None,
    annotations: Labels | None = None,
    external: tuple[str, ...] = (),
    not_ready_since: str | None = None,
) -> Node:
    """A Node with internal `addresses`; annotations without a group are birdctl.io's."""
    condition = (
        Condition(type="Ready", status="True")
        if not_ready_since is None
        else Condition(type="Ready", status="Unknown", last_transition_time=not_ready_since)
    )
    return Node(
        metadata=_meta(name, labels=labels, annotations=annotations),
        spec=NodeSpec(pod_cidrs=(pods,) if isinstance(pods, str) else pods),
        status=NodeStatus(
            addresses=(
                *(NodeAddress(type="ExternalIP", address=text) for text in external),
                *(NodeAddress(type="InternalIP", address=text) for text in addresses),
            ),
            conditions=(condition,),
        ),
    )


def nodes(count: int, **fields: Any) -> list[Node]:
    """`count` dual-stack nodes n0, n1, …"""
    return [
        node(f"n{i}", f"10.0.0.{i + 1}", f"fd00::{i + 1:x}", pods=(f"10.1.{i}.0/24", f"fd00:1:{i:x}::/64"), **fields)
        for i in range(count)
    ]


def service(
    name: str,
    cluster: str | tuple[str, ...] = "10.96.0.1",
    *,
    namespace: str = "default",
    external: tuple[str, ...] = (),
    ingress: tuple[str | dict[str, str], ...] = (),
    labels: Labels | None = None,
    annotations: Labels | None = None,
    **spec: Any,
) -> Service:
    """A Service; with `ingress` one of type LoadBalancer. `spec` are more fields in the API's spelling."""
    entries = [{"ip": item} if isinstance(item, str) else item for item in ingress]
    document = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {
            "clusterIPs": [cluster] if isinstance(cluster, str) else cluster,
            "externalIPs": external,
            "type": "LoadBalancer" if ingress else "ClusterIP",
            **spec,
        },
        "status": {"loadBalancer": {"ingress": entries}},
    }
    made = msgspec.convert(document, Service)
    return msgspec.structs.replace(
        made, metadata=_meta(name, namespace=namespace, labels=labels, annotations=annotations)
    )


def endpoints(
    service_name: str,
    *,
    on: str | tuple[str, ...] = "a",
    ready: bool | None = None,
    ending: bool | None = None,
    slice_name: str = "",
    namespace: str = "default",
    family: str = "IPv4",
) -> EndpointSlice:
    """One slice of a service with an endpoint on each of the nodes `on`; `ready` None is the API's nil. `ending`: they
    terminate, and serve until then or not.
    """
    conditions = {} if ready is None else {"ready": ready}
    if ending is not None:
        conditions = {"ready": False, "serving": ending, "terminating": True}
    where = (on,) if isinstance(on, str) else on
    document = {
        "metadata": {
            "name": slice_name or f"{service_name}-1",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": family,
        "endpoints": [{"addresses": ["10.1.0.9"], "conditions": conditions, "nodeName": each} for each in where],
    }
    return msgspec.convert(document, EndpointSlice)


def namespace(name: str, **labels: str) -> Namespace:
    return Namespace(metadata=_meta(name, labels=labels))


def secret(name: str, namespace: str = "birdctl-system", **data: str | bytes) -> Secret:
    encoded = {
        key: base64.b64encode(text.encode() if isinstance(text, str) else text).decode() for key, text in data.items()
    }
    return Secret(metadata=_meta(name, namespace=namespace), data=encoded)


def bgp_peer(name: str, address: str = "", asn: int = 65001, **spec: Any) -> BGPPeer:
    """A BGPPeer; `spec` are more fields in the API's spelling."""
    document = {"metadata": {"name": name}, "spec": {"address": address, "asn": asn, **_wire(spec)}}
    return msgspec.convert(document, BGPPeer)


def bgp_configuration(name: str = "default", **spec: Any) -> BGPConfiguration:
    return msgspec.convert({"metadata": {"name": name}, "spec": _wire(spec)}, BGPConfiguration)


def advertisement(name: str, **spec: Any) -> BGPAdvertisement:
    return msgspec.convert({"metadata": {"name": name}, "spec": _wire(spec)}, BGPAdvertisement)


def pool(name: str, *ranges: str, **spec: Any) -> AddressPool:
    return msgspec.convert({"metadata": {"name": name}, "spec": {"ranges": ranges, **_wire(spec)}}, AddressPool)


def selector(**labels: str) -> dict[str, Labels]:
    return {"matchLabels": labels}


def compiler(name: str = "a", **options: Any) -> RoutingCompiler:
    for key, value in options.items():
        if key.endswith("_range"):
            options[key] = tuple(ipaddress.ip_network(text) for text in value)
    return RoutingCompiler(name, RoutingOptions(**options))


def compiled(
    *objects: Object, on: str = "a", now: float = NOW, version: tuple[int, ...] = VERSION, **options: Any
) -> Compiled:
    """What node `on` makes of these objects; `options` are settings."""
    return compiler(on, **options).compile(Cluster.of(*objects), version=version, now=now)


def sessions(result: Compiled) -> dict[str, Session]:
    """The sessions by the name of the peer."""
    return {session.peer: session for session in result.config.sessions}


def filters(result: Compiled) -> dict[str, Filter]:
    return {each.name: each for each in result.config.filters}


def originated(result: Compiled) -> dict[str, list[str]]:
    """Prefixes by originating protocol."""
    return {each.name: [str(prefix) for prefix in each.prefixes] for each in result.config.originated}


def problems(result: Compiled) -> list[str]:
    return [str(problem) for problem in result.problems]


def _meta(
    name: str, *, namespace: str = "", labels: Labels | None = None, annotations: Labels | None = None
) -> ObjectMeta:
    full = {key if "/" in key else f"birdctl.io/{key}": text for key, text in (annotations or {}).items()}
    return ObjectMeta(name=name, namespace=namespace, labels=labels or {}, annotations=full)


def _wire(spec: dict[str, Any]) -> dict[str, Any]:
    """`import_` is a keyword of Python only."""
    return {key.rstrip("_"): value for key, value in spec.items()}
