"""What BIRD and the kernel say: the values that read-back produces and `show` prints."""

from __future__ import annotations

import msgspec

from birdctl.addresses import Address, Family, Prefix


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one family of a session. `limit` is the configured import limit; `filtered`, and with it `received`,
    knows of rejected routes only where BIRD keeps them (`import keep filtered`).
    """

    family: Family
    received: int = 0
    filtered: int = 0
    accepted: int = 0
    advertised: int = 0
    limit: int | None = None


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """One BGP protocol as BIRD shows it. `state` is an RFC 4271 word; times in seconds.

    `end_of_rib`: the session is Established, its channels are up, and none of them waits for the peer's End-of-RIB.
    BIRD waits for it after its own start (with `-R`, RFC 4724) until it came or `graceful restart wait` is over; of a
    session that comes up later it does not tell. `flaps` None: not counted by this BIRD.
    """

    protocol: str
    state: str
    bird_state: str = ""
    address: Address | None = None
    interface: str | None = None
    remote_asn: int = 0
    local_asn: int = 0
    router_id: str = ""
    uptime: float | None = None
    flaps: int | None = None
    hold_time: int | None = None
    last_error: str = ""
    end_of_rib: bool = False
    channels: tuple[ChannelState, ...] = ()


class BfdState(msgspec.Struct, frozen=True, kw_only=True):
    """One BFD session (RFC 5880). `state` is up, down, init or none; intervals in seconds."""

    address: Address
    interface: str
    state: str
    since: float | None = None
    interval: float = 0.0
    timeout: float = 0.0


class NextHop(msgspec.Struct, frozen=True, kw_only=True):
    address: Address | None
    interface: str
    weight: int = 1


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """One route of BIRD's tables."""

    prefix: Prefix
    protocol: str
    best: bool
    next_hops: tuple[NextHop, ...] = ()
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    local_pref: int | None = None
    med: int | None = None
    originator: str = ""
    learned_from: Address | None = None
    unreachable: bool = False


class BirdStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon. `digest` is what runs (None: not a configuration of ours); `recovering`: graceful restart."""

    version: tuple[int, ...]
    router_id: str = ""
    uptime: float = 0.0
    last_reconfiguration: str = ""
    digest: str | None = None
    recovering: bool = False
    sessions: tuple[SessionState, ...] = ()
