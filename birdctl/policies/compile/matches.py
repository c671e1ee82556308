"""How a rule says who the peer is: not at all, by an address, or by a set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from birdctl.addresses import Address, Family, Prefix, family
from birdctl.netfilter.model import Entry, IpSet, Net, Rule, SetMatch, SetType
from birdctl.policies.compile.members import peer_set
from birdctl.policies.compile.names import set_name
from birdctl.policies.compile.peers import Block, Nodes, Peer
from birdctl.policies.model import Direction

POD_SIDE = {Direction.INGRESS: "dst", Direction.EGRESS: "src"}
PEER_SIDE = {Direction.INGRESS: "src", Direction.EGRESS: "dst"}


def from_peer(rule: Rule, direction: Direction, peer: Peer | None, family: Family) -> Rule:
    """`rule` for packets whose other end is `peer`; None is everybody."""
    if peer is None:
        return rule
    if isinstance(peer, Block) and not peer.excepts:
        return rule if peer.prefix.prefixlen == 0 else _at(rule, PEER_SIDE[direction], peer.prefix)
    side = PEER_SIDE[direction]
    has_ports = not isinstance(peer, Block | Nodes) and peer.port
    return _in(rule, SetMatch(name=used_set(peer, family), directions=f"{side},dst" if has_ports else side))


def of_pods(rule: Rule, direction: Direction, pods: Prefix | IpSet, *, negated: bool = False) -> Rule:
    """`rule` for the pods of this prefix, or for those in this set or (`negated`) not in it."""
    if isinstance(pods, IpSet):
        return _in(rule, SetMatch(name=pods.name, directions=POD_SIDE[direction], negated=negated))
    return rule if pods.prefixlen == 0 else _at(rule, POD_SIDE[direction], pods)


def used_set(peer: Peer, family: Family) -> str:
    """The name of the set that a rule about `peer` uses, "" if it uses none."""
    match peer:
        case Block(excepts=()):
            return ""
        case Block():
            return block_set(peer).name
        case Nodes():
            return set_name("nodes", family, map(str, peer.nodes.requirements))
        case _:
            return peer_set(peer, family)


def block_set(block: Block) -> IpSet:
    """The addresses of one block with excepts. A hash:net takes no /0, so that is its two halves."""
    prefixes: tuple[Prefix, ...] = (block.prefix,)
    if block.prefix.prefixlen == 0:
        prefixes = tuple(block.prefix.subnets())
    nets: dict[Prefix, Entry] = {prefix: Net(prefix=prefix) for prefix in prefixes}
    nets |= {prefix: Net(prefix=prefix, excluded=True) for prefix in block.excepts}
    its_family = family(block.prefix)
    return IpSet(
        name=set_name("net", its_family, map(str, (block.prefix, *block.excepts))),
        type=SetType.NET,
        family=its_family,
        entries=frozenset(nets.values()),
        meaning=str(block),
    )


def address_set(kind: str, family: Family, addresses: Iterable[Address], meaning: str) -> IpSet:
    """A set of this node's pods. Its name is its content: other members are another set, switched to by a rule."""
    entries = frozenset(addresses)
    name = set_name(kind, family, map(str, sorted(map(int, entries))))
    return IpSet(name=name, type=SetType.IP, family=family, entries=entries, meaning=meaning)


def _at(rule: Rule, side: str, prefix: Prefix) -> Rule:
    return replace(rule, source=prefix) if side == "src" else replace(rule, destination=prefix)


def _in(rule: Rule, match: SetMatch) -> Rule:
    return replace(rule, sets=(*rule.sets, match))
