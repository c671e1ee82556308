"""The items of `show … -o json`, of BGPNodeState and of the read-only HTTP view: one shape for all of them.

Keys are camelCase and stable; what is unknown is absent (None). Addresses and prefixes are texts here, because this
is the edge of the program.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PeerKind = Literal["mesh", "client", "reflector", "external"]
BfdWord = Literal["up", "down", "init", "none"]
PolicyType = Literal["Ingress", "Egress"]
ServiceKind = Literal["ClusterIP", "NodePort", "ExternalIP", "LoadBalancerIP"]
ServerState = Literal["ok", "missing", "different", "leaving"]
RouteSource = Literal["pod", "clusterIP", "externalIP", "loadBalancerIP", "learned", "static"]


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base: unknown values are absent."""


class FamilyCounts(View, frozen=True, kw_only=True, omit_defaults=False):
    received: int = 0
    filtered: int = 0
    accepted: int = 0
    advertised: int = 0
    limit: int | msgspec.UnsetType = msgspec.UNSET


class Peer(View, frozen=True, kw_only=True):
    """One session. `state` is an RFC 4271 word; times in seconds."""

    node: str
    peer: str
    type: PeerKind
    state: str
    protocol: str
    address: str | None = None
    remote_as: int | None = None
    local_as: int | None = None
    uptime_seconds: int | None = None
    flaps: int | None = None
    hold_time_seconds: int | None = None
    router_id: str | None = None
    last_error: str | None = None
    bfd: BfdWord | None = None
    families: dict[str, FamilyCounts] = {}


class NextHop(View, frozen=True, kw_only=True):
    address: str | None = None
    interface: str | None = None
    weight: int | None = None


class Route(View, frozen=True, kw_only=True):
    """One route of BIRD's table. `installed`: the kernel has it, with these next hops."""

    node: str
    prefix: str
    source: RouteSource
    protocol: str
    best: bool | None = None
    installed: bool | None = None
    next_hops: tuple[NextHop, ...] = ()
    peer: str | None = None
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    local_pref: int | None = None
    med: int | None = None
    origin_node: str | None = None


class BfdSession(View, frozen=True, kw_only=True):
    """One BFD session (RFC 5880); intervals in seconds."""

    node: str
    address: str
    state: BfdWord
    peer: str | None = None
    interface: str | None = None
    since_seconds: int | None = None
    interval_seconds: float | None = None
    timeout_seconds: float | None = None


class Withheld(View, frozen=True, kw_only=True):
    """A peer that does not get a prefix."""

    peer: str
    reason: str


class Advertisement(View, frozen=True, kw_only=True):
    """One originated prefix. `origins` name the objects it comes from; `advertised_to` got it for certain."""

    node: str
    prefix: str
    source: RouteSource
    protocol: str
    origins: tuple[str, ...] = ()
    advertised_to: tuple[str, ...] = ()
    withheld: tuple[Withheld, ...] = ()


class SessionCount(View, frozen=True, kw_only=True, omit_defaults=False):
    established: int
    configured: int


class NodeSummary(
    View,
    frozen=True,
    kw_only=True,
    rename={"pod_cidrs": "podCIDRs", "router_id": "routerId", "bird_version": "birdVersion"},
):
    """One node. `sessions` is absent when nobody knows them."""

    node: str
    addresses: tuple[str, ...] = ()
    asn: int | None = None
    pod_cidrs: tuple[str, ...] = ()
    role: Literal["node", "reflector", "client"] = "node"
    sessions: SessionCount | None = None
    router_id: str | None = None
    bird_version: str | None = None


class RuleCounts(View, frozen=True, kw_only=True, omit_defaults=False):
    """Rules of one policy, and what they matched since the agent began: first packets of connections."""

    rules: int = 0
    packets: int = 0
    bytes: int = 0


class Policy(View, frozen=True, kw_only=True):
    """A NetworkPolicy, or a ClusterNetworkPolicy (without namespace), at work on a node.

    `selected_pods` are those of this node. A staged policy's `packets` are those it would deny. `directions` has the
    same counts for each type.
    """

    node: str
    name: str
    kind: str
    types: tuple[PolicyType, ...]
    rules: int
    packets: int
    bytes: int
    namespace: str | None = None
    selected_pods: int | None = None
    staged: bool = False
    directions: dict[str, RuleCounts] = {}


class RealServer(View, frozen=True, kw_only=True):
    """An endpoint in the kernel. Weight 0 takes no new connections; those of UDP are all inactive."""

    address: str
    port: int
    weight: int
    active_connections: int | None = None
    inactive_connections: int | None = None


class TrafficCounts(View, frozen=True, kw_only=True, omit_defaults=False):
    """Of one virtual server, since it was made."""

    connections: int = 0
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Service(View, frozen=True, kw_only=True):
    """One virtual server: an address and port of a Service, and of all else what the kernel has.

    `namespace`, `name`, `port_name` and `kind` are the agent's word; `mark` is there with direct server return. A
    `state` of `different` is for the reasons in `differences`, `leaving`: no Service wants it any more.
    """

    node: str
    namespace: str | None = None
    name: str | None = None
    port_name: str | None = None
    protocol: str | None = None
    address: str | None = None
    port: int | None = None
    kind: ServiceKind | None = None
    mark: int | None = None
    scheduler: str | None = None
    flags: tuple[str, ...] = ()
    forwarding: str | None = None
    persistence_seconds: int | None = None
    real_servers: tuple[RealServer, ...] | None = None
    traffic: TrafficCounts | None = None
    state: ServerState | None = None
    differences: tuple[str, ...] = ()
    advertised_to: tuple[str, ...] | None = None


class Step(View, frozen=True, kw_only=True):
    """One fact of an explanation, about `subject`. `holds`: it is as one would have it; absent: background."""

    subject: str
    text: str
    holds: bool | None = None
