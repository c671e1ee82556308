"""Policies as the compiler sees them, whichever API they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from birdctl.errors import InputError
from birdctl.netfilter.model import Effect
from birdctl.policies.compile.peers import Block, Endpoint, Nodes, Peer, Pods
from birdctl.policies.model import Direction

Ports = tuple[int, int]
PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
"""The API's names, and iptables'."""
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMatch:
    """Destination ports: of any protocol or one, all of them or a range, or container ports of one name."""

    protocol: str | None = None
    range: Ports | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Matches when one of `peers` and one of `ports` does; a None among `peers` is everybody."""

    effect: Effect
    peers: tuple[Peer | None, ...]
    ports: tuple[PortMatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A NetworkPolicy (`order` None) or a ClusterNetworkPolicy, sorted by `order`: tier, priority, name.

    `rules` has the directions it speaks of. What could not be understood is in `problems`, and does not open anything.
    """

    ref: str
    key: str
    kind: str
    subject: Pods
    rules: Mapping[Direction, tuple[PolicyRule, ...]]
    staged: bool = False
    order: tuple[bool, int, str] | None = None
    problems: tuple[InputError, ...] = field(default=(), compare=False)

    @property
    def baseline(self) -> bool:
        return self.order is not None and self.order[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One thing that one policy (or several in the same words) says to a pod about its peers, names resolved."""

    effect: Effect
    peer: Peer | None
    protocol: str | None = None
    ports: Ports | None = None
    policies: tuple[str, ...] = ()


def clauses(policy: Policy, direction: Direction, pod: Endpoint) -> list[Clause]:
    """What `policy` says to `pod`, in order. A port's name is the destination's, so in ingress it is `pod`'s own."""
    return [
        Clause(effect=rule.effect, peer=named, protocol=protocol, ports=ports, policies=(policy.ref,))
        for rule in policy.rules.get(direction, ())
        for match in rule.ports
        for protocol, ports, name in _resolved(match, direction, pod)
        for peer in rule.peers
        for named in _named(peer, name)
    ]


_Resolved = tuple[str | None, Ports | None, tuple[str, str | None] | None]


def _resolved(match: PortMatch, direction: Direction, pod: Endpoint) -> list[_Resolved]:
    """Protocol, ports, and the name to look for at the peer."""
    if match.name is None:
        return [(match.protocol, match.range, None)]
    if direction is Direction.EGRESS:
        return [(None, None, (match.name, match.protocol))]
    numbers = sorted(pod.numbers(match.name, match.protocol))
    return [(protocol, (number, number), None) for protocol, number in numbers]


def _named(peer: Peer | None, name: tuple[str, str | None] | None) -> tuple[Peer | None, ...]:
    """The peer's ports of this name: everybody means all pods, a block those within it, and nodes have none."""
    match peer:
        case _ if name is None:
            return (peer,)
        case Nodes():
            return ()
        case Block():
            return (Pods(within=peer, port=name),)
        case _:
            return (replace(peer or Pods(), port=name),)
