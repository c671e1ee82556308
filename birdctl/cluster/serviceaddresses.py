"""The addresses a Service says it has, and which of them may be believed: the same for who announces and who serves.

Cluster IPs come from the API server. External and load balancer addresses are written by people and controllers: strict
validation takes them from the ranges of their kind only, and what could be a cluster IP is never taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Prefix
from birdctl.cluster.annotations import annotation
from birdctl.cluster.bgp import AddressKind
from birdctl.cluster.objects import Service

HEADLESS_LABEL = "service.kubernetes.io/headless"
_RANGES: Mapping[AddressKind, str] = {
    "ExternalIP": "--service-external-ip-range",
    "LoadBalancerIP": "--loadbalancer-ip-range and no AddressPool",
}


class AddressRules(msgspec.Struct, frozen=True, kw_only=True):
    """Where addresses of a kind must lie; None: anywhere but in the ranges of cluster IPs."""

    cluster: tuple[Prefix, ...]
    external: tuple[Prefix, ...] | None
    load_balancer: tuple[Prefix, ...] | None

    def refusal(self, kind: AddressKind, address: Address) -> str:
        """Why `address` may not be of this kind, empty when it may."""
        if kind == "ClusterIP":
            return ""
        if _within(address, self.cluster):
            return f"{address} lies in --service-cluster-ip-range"
        ranges = self.external if kind == "ExternalIP" else self.load_balancer
        if ranges is not None and not _within(address, ranges):
            return f"{address} lies in none of {_RANGES[kind]}"
        return ""


def has_no_addresses(service: Service) -> bool:
    """Headless, or only a name."""
    spec = service.spec
    return (
        spec.type == "ExternalName"
        or (spec.cluster_ip or (spec.cluster_ips or ("",))[0]) in ("", "None")
        or HEADLESS_LABEL in service.metadata.labels
    )


def stays_local(service: Service) -> bool:
    """Whether traffic from outside is to stay on the node it comes to: by policy, or as the annotation says."""
    local = annotation(service.metadata.annotations, "service.local")
    return service.spec.external_traffic_policy == "Local" or (local is not None and local.word == "true")


def placed_addresses(service: Service, kind: AddressKind) -> Iterator[tuple[str, str]]:
    """The texts of the addresses of one kind, each after the field it stands in."""
    spec = service.spec
    match kind:
        case "ClusterIP":
            yield from _placed("spec.clusterIPs", spec.cluster_ips or (spec.cluster_ip,))
        case "ExternalIP":
            yield from _placed("spec.externalIPs", spec.external_ips)
        case "LoadBalancerIP":
            if spec.type == "LoadBalancer" and annotation(service.metadata.annotations, "service.skiplbips") is None:
                for index, ingress in enumerate(service.status.load_balancer.ingress):
                    if ingress.ip and ingress.ip_mode == "VIP":
                        yield f"status.loadBalancer.ingress[{index}].ip", ingress.ip


def _placed(field_: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((f"{field_}[{index}]", text) for index, text in enumerate(texts))


def _within(address: Address, ranges: Iterable[Prefix]) -> bool:
    return any(address in prefix for prefix in ranges)
