"""What a node's rules do with one packet: an iptables of their own, over compiled rules or those read back.

Speaks every match that birdctl writes and raises on any other, so that an answer is never a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from birdctl.addresses import Address, Family, Prefix
from birdctl.errors import UnknownRule
from birdctl.netfilter.model import Effect, Entry, IpSet, Net, Port, Rule, SetMatch, SetType, Table
from birdctl.policies.compile.fixed import SELF
from birdctl.policies.model import PolicyState
from birdctl.policies.packet import Packet

Hook = Literal["FORWARD", "OUTPUT"]
Decision = Literal["accept", "reject", "drop"]

_DECISIONS: dict[str, Decision] = {"ACCEPT": "accept", "REJECT": "reject", "DROP": "drop"}
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that matched, and the chain it stands in."""

    chain: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of the packet, by which rules in order. Accepted means: left to what comes after our rules."""

    decision: Decision
    path: tuple[Hit, ...]

    @property
    def allowed(self) -> bool:
        return self.decision == "accept"

    @property
    def would_deny(self) -> tuple[str, ...]:
        """The staged policies that counted the packet as one they would deny."""
        return tuple(policy for hit in self.path if hit.rule.effect is Effect.WOULD_DENY for policy in hit.rule.origins)


def verdict(
    state: PolicyState, family: Family, hook: Hook, packet: Packet, *, local: Collection[Address] = ()
) -> Verdict:
    """What happens to the first packet of a connection at `hook`. `local` are the node's own addresses.

    Raises UnknownRule.
    """
    walk = _Walk(state, state.tables[family], packet, local)
    for where, rule in walk.table.hooks:
        if where == hook and walk.matches(rule):
            walk.path.append(Hit(chain=hook, rule=rule))
            decision = walk.chain(rule.target)
            if decision:
                return Verdict(decision=decision, path=tuple(walk.path))
    return Verdict(decision="accept", path=tuple(walk.path))


class _Walk:
    def __init__(self, state: PolicyState, table: Table, packet: Packet, local: Collection[Address]) -> None:
        self.table = table
        self.path: list[Hit] = []
        self._sets = state.sets
        self._packet = packet
        self._local = local

    def chain(self, name: str, depth: int = 0) -> Decision | None:
        """The decision of a chain, None if the packet leaves it undecided."""
        if depth > _DEEPEST or name not in self.table.chains:
            raise UnknownRule(f"chain {name} is {'nested too deeply' if depth > _DEEPEST else 'missing'}")
        for rule in self.table.chains[name].rules:
            if not self.matches(rule):
                continue
            self.path.append(Hit(chain=name, rule=rule))
            if rule.target in _DECISIONS:
                return _DECISIONS[rule.target]
            if rule.target == "RETURN":
                return None
            if rule.target == "NFLOG":
                continue
            decision = self.chain(rule.target, depth + 1)
            if decision or rule.goto:
                return decision
        return None

    def matches(self, rule: Rule) -> bool:
        packet = self._packet
        return (
            (rule.protocol is None or rule.protocol == packet.protocol)
            and _inside(packet.source, rule.source)
            and _inside(packet.destination, rule.destination)
            and (rule.ports is None or (rule.protocol is not None and rule.ports[0] <= packet.port <= rule.ports[1]))
            and all(self._in_set(match) for match in rule.sets)
            and self._extra(rule.extra)
        )

    def _in_set(self, match: SetMatch) -> bool:
        found = self._sets.get(match.name)
        if found is None:
            raise UnknownRule(f"set {match.name} is missing")
        return _contains(found, match.directions.split(","), self._packet) is not match.negated

    def _extra(self, words: Sequence[str]) -> bool:
        packet = self._packet
        match words:
            case ():
                return True
            case ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED", *rest):
                return self._extra(tuple(rest))
            case ("-m", "addrtype", "!", "--src-type", "LOCAL", *rest):
                return packet.source not in self._local and self._extra(tuple(rest))
            case ("-m", "limit", "--limit", _, "--limit-burst", _, *rest):
                return self._extra(tuple(rest))
            case ("-m", "icmp" | "icmp6", "--icmp-type" | "--icmpv6-type", number, *rest):
                return packet.port == int(number) and self._extra(tuple(rest))
            case ("-m", "bpf", "--bytecode", program, *rest) if program in SELF.values():
                return packet.source == packet.destination and self._extra(tuple(rest))
        raise UnknownRule(f"a match that birdctl does not write: {' '.join(words)}")


def _inside(address: Address, prefix: Prefix | None) -> bool:
    return prefix is None or address in prefix


def _contains(ipset: IpSet, directions: Sequence[str], packet: Packet) -> bool:
    """Whether the packet is in the set, which looks at its addresses and ports in these `directions`."""
    addresses = [packet.source if direction == "src" else packet.destination for direction in directions]
    match ipset.type, len(directions):
        case (SetType.IP, 1):
            return addresses[0] in ipset.entries
        case (SetType.NET, 1):
            return _longest(ipset.entries, addresses[0])
        case (SetType.IP_PORT, 2):
            return _port(packet, addresses, directions[1]) in ipset.entries
        case (SetType.IP_PORT_IP, 3):
            return _port(packet, addresses, directions[1]) in ipset.entries
    raise UnknownRule(f"set {ipset.name} of type {ipset.type} matched by {','.join(directions)}")


def _port(packet: Packet, addresses: Sequence[Address], direction: str) -> Entry:
    return Port(
        address=addresses[0],
        protocol=packet.protocol,
        port=packet.source_port if direction == "src" else packet.port,
        peer=addresses[2] if len(addresses) > 2 else None,  # noqa: PLR2004
    )


def _longest(entries: Collection[Entry], address: Address) -> bool:
    """The most specific prefix decides."""
    nets = [entry for entry in entries if isinstance(entry, Net) and address in entry.prefix]
    return bool(nets) and not max(nets, key=lambda net: net.prefix.prefixlen).excluded
