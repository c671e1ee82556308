"""The items of `show … -o json`, of BGPNodeState and of the read-only HTTP view: one shape for all of them.

Keys are camelCase and stable; what is unknown is absent (None). Addresses and prefixes are texts here, because this
is the edge of the program.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PeerKind = Literal["mesh", "client", "reflector", "external"]
BfdWord = Literal["up", "down", "init", "none"]
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
