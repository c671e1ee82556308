"""What a policy that cannot be understood as a whole still says, so that it fails closed. Pure.

A NetworkPolicy selects the pods it names, or all of its namespace when that cannot be read, and allows nothing. Of a
ClusterNetworkPolicy a rule that cannot be read keeps its action alone: a denial of everything, unless it accepts. When
its tier, priority or subject cannot be read, it comes first, for every pod if need be, and does nothing but deny.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from birdctl.cluster.clusterpolicy import (
    ClusterEgressRule,
    ClusterIngressRule,
    ClusterNetworkPolicy,
    ClusterNetworkPolicySpec,
    PolicySubject,
)
from birdctl.cluster.objects import LabelSelector, NetworkPolicy, NetworkPolicySpec, Object, ObjectMeta

T = TypeVar("T")
R = TypeVar("R", ClusterIngressRule, ClusterEgressRule)

_BOTH: tuple[Literal["Ingress", "Egress"], ...] = ("Ingress", "Egress")
_EVERY_POD = PolicySubject(namespaces=LabelSelector())


def remains(type_: type[Object], key: str, document: Mapping[str, Any]) -> Object | None:
    """The closed form of the object `key` in `document`; None for a kind that may be left out instead."""
    read = {NetworkPolicy: _network_policy, ClusterNetworkPolicy: _cluster_policy}.get(type_)
    if read is None:
        return None
    namespace, _, name = key.rpartition("/")
    metadata = _readable(document.get("metadata"), ObjectMeta) or ObjectMeta(name=name)
    spec = document.get("spec")
    return read(replace(metadata, name=name, namespace=namespace), spec if isinstance(spec, Mapping) else None)


def _network_policy(metadata: ObjectMeta, spec: Mapping[str, Any] | None) -> NetworkPolicy:
    spec = spec if spec is not None else {"policyTypes": None}
    types = _readable(spec.get("policyTypes", ()), tuple[Literal["Ingress", "Egress"], ...])
    if types == ():
        types = _BOTH if spec.get("egress") else _BOTH[:1]
    selector = _readable(spec.get("podSelector", {}), LabelSelector)
    spec_read = NetworkPolicySpec(pod_selector=selector or LabelSelector(), policy_types=types or _BOTH)
    return NetworkPolicy(metadata=metadata, spec=spec_read)


def _cluster_policy(metadata: ObjectMeta, spec: Mapping[str, Any] | None) -> ClusterNetworkPolicy:
    spec = spec or {}
    tier = _readable(spec.get("tier"), Literal["Admin", "Baseline"])
    priority = _readable(spec.get("priority"), int)
    subject = _readable(spec.get("subject"), PolicySubject)
    ingress = _rules(spec.get("ingress", ()), ClusterIngressRule)
    egress = _rules(spec.get("egress", ()), ClusterEgressRule)
    if tier is None or priority is None or subject is None:
        tier, priority, ingress, egress = "Admin", 0, _denying(ingress), _denying(egress)
    return ClusterNetworkPolicy(
        metadata=metadata,
        spec=ClusterNetworkPolicySpec(
            tier=tier, priority=priority, subject=subject or _EVERY_POD, ingress=ingress, egress=egress
        ),
    )


def _rules(items: Any, type_: type[R]) -> tuple[R, ...]:
    if not isinstance(items, list | tuple):
        return (type_(action="Deny"),)
    return tuple(_readable(item, type_) or type_(action=_action(item)) for item in items)


def _action(rule: Any) -> str:
    action = rule.get("action") if isinstance(rule, Mapping) else None
    return action if isinstance(action, str) else "Deny"


def _denying(rules: tuple[R, ...]) -> tuple[R, ...]:
    return tuple(replace(rule, action="Deny") for rule in rules if rule.action != "Accept")


def _readable(value: Any, type_: Any) -> Any:
    """None if it cannot be read."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return None
