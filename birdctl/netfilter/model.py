"""ipsets and iptables chains, the same values for desired and actual.

Everything is named, sorted and resolved by compilers; backends only write it. Whose a chain, a set or a rule is can be
told from it alone, so that several owners, and programs besides birdctl, write to the same kernel.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from birdctl.addresses import Address, Family, Prefix

TableName = Literal["filter", "nat", "mangle"]
BUILTIN: Mapping[TableName, tuple[str, ...]] = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
}
"""The kernel's own chains of each table."""


PROTOCOLS: Mapping[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
"""The numbers of protocols (IANA), by iptables' names."""


class Owner(enum.Enum):
    """Whose chains, sets and rules they are; `rank` is the order of their hooks where they share a chain."""

    POLICIES = "birdctl"
    SERVICES = "birdsvc"

    @property
    def chain_prefix(self) -> str:
        """What the names of its chains begin with, and nobody else's."""
        return f"{self.value.upper()}-"

    @property
    def set_prefix(self) -> str:
        """What the names of its sets begin with, and nobody else's."""
        return f"{self.value}-"

    @property
    def mark(self) -> str:
        """What its rules' comments begin with."""
        return f"{self.value}:"

    @property
    def rank(self) -> int:
        return tuple(Owner).index(self)


class SetType(enum.StrEnum):
    """ipset(8) types in use."""

    IP = "hash:ip"
    NET = "hash:net"
    IP_PORT = "hash:ip,port"
    IP_PORT_IP = "hash:ip,port,ip"
    IP_PORT_NET = "hash:ip,port,net"


class Effect(enum.StrEnum):
    """What a policy's rule does; `WOULD_DENY` is what a staged policy only counts."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"  # noqa: S105
    WOULD_DENY = "would-deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """An entry of a hash:net; `excluded` is ipset's nomatch."""

    prefix: Prefix
    excluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An entry of a hash:ip,port, or with `peer` of a hash:ip,port,ip or hash:ip,port,net.

    `protocol` is iptables' (tcp, udp, sctp).
    """

    address: Address
    protocol: str
    port: int
    peer: Address | Prefix | None = None


Entry = Address | Net | Port


@dataclass(frozen=True, slots=True, kw_only=True)
class IpSet:
    """One ipset. `meaning` tells a person what is in it ("pods tier=t0 of namespaces team=x1").

    `timeout` is in seconds; a set with one is filled by the backend as it works, and its `entries` here stay empty.
    `max_entries` is ipset's maxelem; it costs nothing until used, so it never has to change.
    """

    name: str
    type: SetType
    family: Family
    entries: frozenset[Entry]
    meaning: str = ""
    timeout: int | None = None
    max_entries: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMatch:
    """`-m set --match-set NAME DIRECTIONS`; `directions` as iptables writes them: src, dst, or src,src,dst."""

    name: str
    directions: str
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: when all given conditions hold, `target` (RETURN, DROP, REJECT, NFLOG, or a chain; `goto` for -g).

    `ports` is a range of destination ports. `extra` are conditions, `options` what follows the target, that only the
    fixed rules use, in iptables' own words and order. `origins` are whose rule it is ("NetworkPolicy
    ns/name", "Service ns/name") and `effect` what they make of the packet, for counters and explanations.
    """

    target: str
    goto: bool = False
    protocol: str | None = None
    source: Prefix | None = None
    destination: Prefix | None = None
    sets: tuple[SetMatch, ...] = ()
    ports: tuple[int, int] | None = None
    extra: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    effect: Effect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain of an owner's, its rules in order."""

    name: str
    rules: tuple[Rule, ...]


Counts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the kernel says of the rules of one chain: packets and bytes of each, in order."""

    family: Family
    chain: Chain
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An owner's part of one table. `hooks` are the jumps from the kernel's chains, which must be first there, behind
    those of owners of a lower rank: (chain, rule).
    """

    owner: Owner
    family: Family
    name: TableName = "filter"
    hooks: tuple[tuple[str, Rule], ...]
    chains: Mapping[str, Chain]
