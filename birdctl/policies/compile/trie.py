"""From a pod's address to its rules, by hexadecimal digits: what a packet passes grows with the length of addresses.

A comparison with a prefix costs a packet a tenth of looking into a set, and needs none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import groupby

from birdctl.addresses import Address, Prefix, host_prefix
from birdctl.netfilter.model import Chain, Rule
from birdctl.policies.compile.body import Body
from birdctl.policies.compile.matches import of_pods
from birdctl.policies.compile.names import chain_name
from birdctl.policies.model import Direction

_DIGIT = 4
_LEAF = 16
"""At most so many pods' rules stand in one chain, one after the other."""
_DEEPEST = 6
"""nft follows 16 chains; other ones come before and after."""

Pods = Sequence[tuple[Address, Body]]
"""Sorted by address."""
_Key = tuple[tuple[Address, str], ...]


def span(addresses: Collection[Address]) -> Prefix:
    """The longest prefix that all of them are in."""
    low, high = min(addresses, key=int), max(addresses, key=int)
    return ip_network((low, low.max_prefixlen - (int(low) ^ int(high)).bit_length()), strict=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """`chain` is for some pods, `chains` are those that it leads to."""

    chain: Chain
    chains: tuple[Chain, ...]


class Trie:
    """Of one direction, written again and again; leaves of the same pods are kept."""

    def __init__(self, direction: Direction, end: Rule) -> None:
        """`end` is the last rule of every chain."""
        self._direction = direction
        self._end = end
        self._leaves: dict[_Key, Branch] = {}

    def root(self, pods: Pods) -> Branch:
        """For all of them."""
        kept, self._leaves = self._leaves, {}
        return self._branch(pods, 0, kept)

    def _branch(self, pods: Pods, depth: int, kept: dict[_Key, Branch]) -> Branch:
        if len(pods) <= _LEAF or depth == _DEEPEST:
            key = tuple((address, body.chain.name) for address, body in pods)
            leaf = self._leaves[key] = kept.get(key) or self._leaf(pods)
            return leaf
        rules: list[Rule] = []
        chains: list[Chain] = []
        for prefix, part in _parts(pods):
            branch = self._branch(part, depth + 1, kept)
            chains += (branch.chain, *branch.chains)
            rules.append(of_pods(Rule(target=branch.chain.name, goto=True), self._direction, prefix))
        return self._ending(rules, chains)

    def _leaf(self, pods: Pods) -> Branch:
        rules = (of_pods(rule, self._direction, host_prefix(pod)) for pod, body in pods for rule in body.in_place)
        return self._ending(rules, (chain for _, body in pods for chain in body.chains))

    def _ending(self, rules: Iterable[Rule], chains: Iterable[Chain]) -> Branch:
        rules = (*rules, self._end)
        return Branch(Chain(name=chain_name(self._direction, rules), rules=rules), tuple(chains))


def _parts(pods: Pods) -> Iterator[tuple[Prefix, Pods]]:
    """By the first digit in which they differ."""
    length = span([pods[0][0], pods[-1][0]]).prefixlen // _DIGIT * _DIGIT + _DIGIT
    shift = pods[0][0].max_prefixlen - length
    for _, part in groupby(pods, key=lambda pod: int(pod[0]) >> shift):
        found = tuple(part)
        yield ip_network((found[0][0], length), strict=False), found
