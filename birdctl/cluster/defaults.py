"""What an API server fills in before it stores an object, for objects that come from elsewhere.

Only fields that birdctl reads; constants are the defaults of the structs themselves. What an API server *allocates*
(a ClusterIP with its family, a NodePort) is not invented here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from birdctl.cluster.objects import Namespace, NetworkPolicy, Node, Object, ObjectMeta, Pod, PodIP, Secret, Service

T = TypeVar("T", bound=Object)


def complete(item: T) -> T:
    """The object as an API server would return it."""
    item = replace(item, metadata=_metadata(item))
    completed = _COMPLETED.get(type(item))
    return cast("T", completed(item)) if completed else item


def _namespace(namespace: Namespace) -> Namespace:
    labels = {**namespace.metadata.labels, "kubernetes.io/metadata.name": namespace.name}
    return replace(namespace, metadata=replace(namespace.metadata, labels=labels))


def _metadata(item: Object) -> ObjectMeta:
    namespace = (item.metadata.namespace or "default") if item.namespaced else ""
    return replace(item.metadata, namespace=namespace)


def _plural(one: str, many: tuple[str, ...]) -> tuple[str, ...]:
    """A pair such as podCIDR and podCIDRs: the single form wins where they differ."""
    return (one,) if one and (not many or many[0] != one) else many


def _node(node: Node) -> Node:
    cidrs = _plural(node.spec.pod_cidr, node.spec.pod_cidrs)
    return replace(node, spec=replace(node.spec, pod_cidr=cidrs[0] if cidrs else "", pod_cidrs=cidrs))


def _pod(pod: Pod) -> Pod:
    ips = _plural(pod.status.pod_ip, tuple(item.ip for item in pod.status.pod_ips))
    status = replace(pod.status, pod_ip=ips[0] if ips else "", pod_ips=tuple(PodIP(ip=ip) for ip in ips))
    return replace(pod, status=status)


def _service(service: Service) -> Service:
    spec = service.spec
    ips = () if spec.type == "ExternalName" else _plural(spec.cluster_ip, spec.cluster_ips)
    ports = tuple(replace(port, target_port=port.target_port or port.port) for port in spec.ports)
    return replace(service, spec=replace(spec, cluster_ip=ips[0] if ips else "", cluster_ips=ips, ports=ports))


def _secret(secret: Secret) -> Secret:
    plain = {key: base64.b64encode(text.encode()).decode() for key, text in secret.string_data.items()}
    return replace(secret, data={**secret.data, **plain}, string_data={})


def _network_policy(policy: NetworkPolicy) -> NetworkPolicy:
    spec = policy.spec
    types = spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    return replace(policy, spec=replace(spec, policy_types=types))


_COMPLETED: dict[type[Object], Callable[[Any], Object]] = {
    Namespace: _namespace,
    NetworkPolicy: _network_policy,
    Node: _node,
    Pod: _pod,
    Secret: _secret,
    Service: _service,
}
