"""birdctl's own objects (group birdctl.io, version v1alpha1).

An unknown field is an error. Durations are texts as `90s`, `300ms`, `1h`; addresses and prefixes are texts here and
become `ipaddress` values in the compiler, which reports what it cannot read on the object.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from birdctl.cluster.objects import LabelSelector, Object, Struct

GROUP = "birdctl.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Topology = Literal["FullMesh", "RouteReflectors", "None"]
LimitAction = Literal["Warn", "Block", "Restart", "Disable"]
AddressKind = Literal["ClusterIP", "ExternalIP", "LoadBalancerIP"]
FamilyName = Literal["IPv4", "IPv6"]

_ACRONYMS = {
    "cluster_id": "clusterID",
    "pod_cidrs": "podCIDRs",
    "cluster_ips": "clusterIPs",
    "external_ips": "externalIPs",
    "load_balancer_ips": "loadBalancerIPs",
    "local_asn": "localASN",
    "multihop_ttl": "multihopTTL",
    "allow_as_in": "allowASIn",
    "next_hop_self": "nextHopSelf",
}


def _wire_name(field: str) -> str:
    """camelCase, with the field's own capitals (clusterID, podCIDRs, localASN)."""
    if field in _ACRONYMS:
        return _ACRONYMS[field]
    head, *rest = field.rstrip("_").split("_")
    return head + "".join(part.title() for part in rest)


class Spec(
    msgspec.Struct, frozen=True, kw_only=True, rename=_wire_name, omit_defaults=True, forbid_unknown_fields=True
):
    """Base of our values: camelCase, unknown fields refused."""


class Timers(Spec, frozen=True, kw_only=True):
    hold: str = ""
    keepalive: str = ""
    connect_retry: str = ""


class GracefulRestart(Spec, frozen=True, kw_only=True):
    enabled: bool = True
    restart_time: str = ""
    long_lived_stale_time: str = ""


class PrefixRule(Spec, frozen=True, kw_only=True):
    """One entry of an allow-list. Absent lengths mean exactly the prefix."""

    prefix: str
    min_length: int | None = None
    max_length: int | None = None


class Limit(Spec, frozen=True, kw_only=True):
    """A prefix limit per family (RFC 4486 ceases a session over it, by action)."""

    prefixes: int
    action: LimitAction = "Block"


class RouteReflectors(Spec, frozen=True, kw_only=True):
    node_selector: LabelSelector | None = None
    count: int | None = None
    spread_by: str = "topology.kubernetes.io/zone"
    cluster_id: str = ""


class Advertise(Spec, frozen=True, kw_only=True):
    pod_cidrs: bool = True
    cluster_ips: bool = False
    external_ips: bool = False
    load_balancer_ips: bool = False


class ImportPolicy(Spec, frozen=True, kw_only=True):
    allow: tuple[PrefixRule, ...] | None = None
    limit: Limit | None = None


class ExportPolicy(Spec, frozen=True, kw_only=True):
    pod_cidrs: bool | None = None
    limit: Limit | None = None
    communities: tuple[str, ...] = ()
    prepend: int = 0
    med: int | None = None


class BGPConfigurationSpec(Spec, frozen=True, kw_only=True):
    asn: int | None = None
    topology: Topology | None = None
    route_reflectors: RouteReflectors | None = None
    listen_port: int | None = None
    timers: Timers | None = None
    graceful_restart: GracefulRestart | None = None
    advertise: Advertise | None = None
    import_: ImportPolicy | None = None
    communities: tuple[str, ...] = ()


class BGPConfiguration(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = API_VERSION
    plural: ClassVar[str] = "bgpconfigurations"

    spec: BGPConfigurationSpec = BGPConfigurationSpec()


class SecretKeyRef(Spec, frozen=True, kw_only=True):
    name: str
    key: str


class BFD(Spec, frozen=True, kw_only=True):
    enabled: bool = True
    min_tx: str = "300ms"
    min_rx: str = "300ms"
    multiplier: int = 3


class BGPPeerSpec(Spec, frozen=True, kw_only=True):
    asn: int
    node_selector: LabelSelector | None = None
    address: str = ""
    interface: str = ""
    port: int = 179
    local_asn: int | None = None
    local_address: str = ""
    password_secret: SecretKeyRef | None = None
    multihop_ttl: int | None = None
    ttl_security: bool = False
    timers: Timers | None = None
    bfd: BFD | None = None
    graceful_restart: GracefulRestart | None = None
    families: tuple[FamilyName, ...] = ()
    next_hop_self: bool = True
    passive: bool = False
    allow_as_in: int = 0
    add_paths: Literal["None", "Receive", "Send", "Both"] = "None"
    import_: ImportPolicy | None = None
    export: ExportPolicy | None = None


class BGPPeer(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = API_VERSION
    plural: ClassVar[str] = "bgppeers"

    spec: BGPPeerSpec


class AggregationLength(Spec, frozen=True, kw_only=True):
    ipv4: int = 32
    ipv6: int = 128


class BGPAdvertisementSpec(Spec, frozen=True, kw_only=True):
    service_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    addresses: tuple[AddressKind, ...] = ("LoadBalancerIP",)
    peers: tuple[str, ...] | None = None
    communities: tuple[str, ...] = ()
    local_pref: int | None = None
    med: int | None = None
    prepend: int = 0
    aggregation_length: AggregationLength = AggregationLength()


class BGPAdvertisement(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = API_VERSION
    plural: ClassVar[str] = "bgpadvertisements"

    spec: BGPAdvertisementSpec = BGPAdvertisementSpec()


class AddressPoolSpec(Spec, frozen=True, kw_only=True):
    ranges: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    service_selector: LabelSelector | None = None
    auto_assign: bool = True


class AddressPool(Object, frozen=True, kw_only=True):
    api_version: ClassVar[str] = API_VERSION
    plural: ClassVar[str] = "addresspools"

    spec: AddressPoolSpec


class NodeStateCondition(Struct, frozen=True, kw_only=True):
    """metav1.Condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str


class NodeStateBird(Struct, frozen=True, kw_only=True):
    version: str = ""
    router_id: str = ""
    uptime_seconds: int = 0
    config_digest: str = ""


class BGPNodeStateStatus(Struct, frozen=True, kw_only=True):
    """`peers` and `bfd` hold the items that `show peers` and `show bfd` print on that node, as JSON values."""

    peers: tuple[dict[str, Any], ...] = ()
    bfd: tuple[dict[str, Any], ...] = ()
    established: str = ""
    last_error: str = ""
    bird: NodeStateBird = NodeStateBird()
    conditions: tuple[NodeStateCondition, ...] = ()


class BGPNodeState(Object, frozen=True, kw_only=True):
    """What one node's agent last saw; named like the node, written by the agent, read by `show` elsewhere."""

    api_version: ClassVar[str] = API_VERSION
    plural: ClassVar[str] = "bgpnodestates"

    status: BGPNodeStateStatus = BGPNodeStateStatus()
