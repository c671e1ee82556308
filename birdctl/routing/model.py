"""What a BIRD configuration is made of: the compiler's result, the templates' input.

Everything is decided, named, sorted and resolved here; the templates only print. Names are BIRD symbols derived from
the object (never from an index), because a renamed protocol restarts its session and a renamed filter reloads every
channel that uses it.
"""

from __future__ import annotations

import enum

import msgspec

from birdctl.addresses import Address, Family, Prefix
from birdctl.secret import Secret


class PeerType(enum.StrEnum):
    """What a session is for, as `show peers` prints it. `client`: this node reflects to the peer; `reflector`: the
    peer reflects to this node.
    """

    MESH = "mesh"
    CLIENT = "client"
    REFLECTOR = "reflector"
    EXTERNAL = "external"


class NextHopSelf(enum.StrEnum):
    """BIRD's `next hop self` of a channel."""

    OFF = "off"
    EBGP = "ebgp"
    ALL = "on"


class AddPaths(enum.StrEnum):
    """BIRD's `add paths` (RFC 7911)."""

    OFF = "off"
    RECEIVE = "rx"
    SEND = "tx"
    BOTH = "on"


class Timers(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    hold: int = 90
    keepalive: int = 30
    connect_retry: int = 5


class GracefulRestart(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 4724, with RFC 9494's long-lived stale time; seconds. `long_lived_stale_time` None: long-lived off."""

    restart_time: int = 120
    long_lived_stale_time: int | None = None


class Bfd(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 5880; intervals in milliseconds."""

    min_tx: int = 300
    min_rx: int = 300
    multiplier: int = 3


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """BIRD's `limit`; `action` is one of warn, block, restart, disable."""

    prefixes: int
    action: str


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One family of a session. `next_hop_address`: what routes of this node carry when the session itself runs over the
    other family (None: the session's local address). `extended_next_hop`: RFC 8950. `keep_filtered`: BIRD keeps
    the routes that the import filter rejects, and counts them.
    """

    family: Family
    import_filter: str
    export_filter: str
    next_hop_self: NextHopSelf = NextHopSelf.OFF
    next_hop_address: Address | None = None
    add_paths: AddPaths = AddPaths.OFF
    extended_next_hop: bool = False
    keep_filtered: bool = False
    import_limit: Limit | None = None
    export_limit: Limit | None = None

    @property
    def igp_families(self) -> tuple[Family, ...]:
        """Families of the next hops that it resolves."""
        return tuple(Family) if self.extended_next_hop else (self.family,)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One `protocol bgp`. `peer` is the name people use, `origin` the object it came from ("BGPPeer tor1").

    Exactly one of `address` and `interface` alone is given: an interface without an address is an unnumbered peer.
    `multihop` is a TTL, None for a directly connected peer. `strict_bind`: listen on `local_address` alone.
    """

    name: str
    peer: str
    type: PeerType
    origin: str
    local_asn: int
    remote_asn: int
    address: Address | None = None
    interface: str | None = None
    port: int = 179
    local_address: Address | None = None
    local_port: int = 179
    strict_bind: bool = False
    multihop: int | None = None
    ttl_security: bool = False
    passive: bool = False
    password: Secret | None = None
    timers: Timers = Timers()
    graceful_restart: GracefulRestart | None = None
    bfd: Bfd | None = None
    reflector_client: bool = False
    cluster_id: str | None = None
    allow_as_in: int = 0
    channels: tuple[Channel, ...] = ()


class Originated(msgspec.Struct, frozen=True, kw_only=True):
    """One `protocol static` of blackhole routes: everything this node originates for one purpose and family.

    `source` is `pod`, or the address kinds (`clusterIP`, `externalIP`, `loadBalancerIP`) per prefix in `sources`.
    """

    name: str
    family: Family
    origin: str
    prefixes: tuple[Prefix, ...]
    sources: tuple[str, ...]


class PrefixPattern(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a BIRD prefix set: `prefix{min,max}`."""

    prefix: Prefix
    min_length: int
    max_length: int


class PrefixSet(msgspec.Struct, frozen=True, kw_only=True):
    """A set that several filters use, defined once under its name. Never empty."""

    name: str
    family: Family
    patterns: tuple[PrefixPattern, ...]
    comment: str


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted route gets on its way out. Communities are pairs and triples of numbers."""

    communities: tuple[tuple[int, int], ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    med: int | None = None
    local_pref: int | None = None
    prepend: tuple[int, ...] = ()


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a filter: when *all* given conditions hold, set `attributes` and accept or reject.

    `protocols`: the route comes from one of these originating protocols; `sources`: BIRD route sources
    (RTS_BGP, RTS_DEVICE, RTS_INHERIT); `prefixes`: it matches the set, which is the PrefixSet called `prefix_set`
    where that is given. At least one condition is.
    """

    accept: bool
    protocols: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    prefixes: tuple[PrefixPattern, ...] = ()
    prefix_set: str = ""
    attributes: Attributes = Attributes()
    comment: str = ""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """A named BIRD filter of one family; a route that no term takes is rejected, unless `accept_rest`."""

    name: str
    family: Family
    terms: tuple[Term, ...]
    accept_rest: bool = False
    origin: str = ""


class BirdConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole desired configuration of one node's BIRD.

    `families` are those the node routes; `version` is the running BIRD's (2, 0, 12). `graceful_restart_wait` seconds.
    All tuples are sorted by name.
    """

    node: str
    version: tuple[int, ...]
    router_id: str
    families: tuple[Family, ...]
    sessions: tuple[Session, ...] = ()
    originated: tuple[Originated, ...] = ()
    prefix_sets: tuple[PrefixSet, ...] = ()
    filters: tuple[Filter, ...] = ()
    merge_paths: int = 16
    kernel_table: int = 254
    graceful_restart_wait: int = 20

    @property
    def bfd(self) -> bool:
        """Some session wants BFD."""
        return any(session.bfd for session in self.sessions)

    @property
    def kernel_scan_time(self) -> int:
        """Seconds between looks at the kernel's routes.

        BIRD 3 (3.1.7) deletes a merged route whose recursive next hop moved, until it looks again.
        """
        return 2 if self.version >= (3,) else 20

    @property
    def has_authentication(self) -> bool:
        """BIRD's grammar has `authentication`, and warns about a password without it."""
        return self.version >= (2, 17)
