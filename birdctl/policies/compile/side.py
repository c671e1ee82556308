"""The chains of one direction.

    IN -> digits of the pod's address -> its rules
       -> REST -> block -> class -> DENY -> LOG

A class is the pods with the same rules. A few pods' rules name each of them, and are found by its address. Those of
more name a set, and are found block by block, of which there are about as many as classes in each. REST opens whoever
nothing restricts, and closes who is left. All sets are named by their content, so that a pod changes class in one
transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import collapse_addresses

from birdctl.addresses import Address, Family, Prefix, host_prefix
from birdctl.netfilter.model import Chain, IpSet, Rule
from birdctl.policies.compile.block import Block, block, parts
from birdctl.policies.compile.body import ALLOWED
from birdctl.policies.compile.classes import Side
from birdctl.policies.compile.fixed import Fixed, refuse
from birdctl.policies.compile.matches import address_set, of_pods
from birdctl.policies.compile.names import direction_chain, logging_chain, rest_chain
from birdctl.policies.compile.reasons import reasons
from birdctl.policies.compile.trie import Trie, span
from birdctl.policies.model import Direction

FEW = 4
"""At most so many pods of a class are named in its rules: these grow with classes, not with pods."""
_MEANINGS = {
    "open": "pods that nothing restricts",
    "iso": "pods with policies",
    "log": "pods refused for the same reason",
}


_Key = tuple[tuple[str, tuple[Address, ...]], ...]


@dataclass(slots=True)
class Written:
    """`entries` lead from elsewhere into the direction's chain. `sets` are those of this node's pods."""

    entries: list[Rule] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    sets: list[IpSet] = field(default_factory=list)


class SideWriter:
    """Writes them again and again; leaves and blocks of the same pods are kept."""

    def __init__(self, family: Family, direction: Direction, fixed: Fixed) -> None:
        self._family = family
        self._direction = direction
        self._fixed = fixed
        self._trie = Trie(direction, Rule(target=rest_chain(direction), goto=True))
        self._blocks: dict[_Key, Block] = {}

    def write(self, side: Side, closed: Sequence[Prefix]) -> Written:
        """For all that comes to pods in `closed`, and to pods elsewhere that something restricts."""
        written = Written()
        outside = [pod for pod in side.restricted if not _inside(pod, closed)]
        if prefixes := [*closed, *([span(outside)] if outside else [])]:
            jump = Rule(target=direction_chain(self._direction))
            written.entries.extend(of_pods(jump, self._direction, prefix) for prefix in _disjoint(prefixes))
            self._write_found(side, written)
            rest = (*self._strangers(side, closed, outside, written), *self._many(side, written))
            self._put(rest_chain(self._direction), (*rest, refuse(self._direction)), written)
            logs = tuple(self._logs(side, closed, written))
            written.chains.append(self._fixed.refusing(self._direction, self._family, logged=bool(logs)))
            if logs:
                self._put(logging_chain(self._direction), logs, written)
        return written

    def _put(self, name: str, rules: Iterable[Rule], written: Written) -> None:
        written.chains.append(Chain(name=name, rules=tuple(rules)))

    def _write_found(self, side: Side, written: Written) -> None:
        """The chains to and with the rules of classes of few pods."""
        few = [(pod, body) for body, pods in side.classes if len(pods) <= FEW for pod in pods if body.in_place]
        branch = self._trie.root(sorted(few, key=lambda pod: pod[0]))
        self._put(direction_chain(self._direction), branch.chain.rules, written)
        written.chains.extend(branch.chains)

    def _strangers(
        self, side: Side, closed: Sequence[Prefix], outside: Sequence[Address], written: Written
    ) -> Iterator[Rule]:
        """Open is what is known to be, and outside of `closed` also what nobody knows."""
        if known := [pod for pod in side.open if _inside(pod, closed)]:
            yield self._of(ALLOWED, "open", known, written)
        if outside:
            for prefix in closed:
                rule = of_pods(refuse(self._direction), self._direction, prefix)
                yield self._of(rule, "iso", side.restricted, written, negated=True)
            yield self._of(ALLOWED, "iso", side.restricted, written, negated=True)

    def _many(self, side: Side, written: Written) -> Iterator[Rule]:
        """To the rules of classes of many pods."""
        kept, self._blocks = self._blocks, {}
        for part in parts([each for each in side.classes if len(each[1]) > FEW and each[0].in_place]):
            key = tuple((body.chain.name, pods) for body, pods in part)
            found = self._blocks[key] = kept.get(key) or block(self._family, self._direction, part)
            written.chains.extend((found.chain, *found.chains))
            written.sets.extend((found.pods, *found.classes))
            yield of_pods(Rule(target=found.chain.name, goto=True), self._direction, found.pods)

    def _logs(self, side: Side, closed: Sequence[Prefix], written: Written) -> Iterator[Rule]:
        """A packet is logged once: pods have one reason each."""
        for log, pods in reasons(side.refusers, self._direction, self._fixed):
            yield self._of(log, "log", pods, written)
        if closed:
            unknown = self._fixed.log(f"deny {self._direction.lower()}", ("unknown pod",))
            yield self._of(unknown, "iso", side.restricted, written, negated=True) if side.restricted else unknown

    def _of(self, rule: Rule, kind: str, pods: Sequence[Address], written: Written, *, negated: bool = False) -> Rule:
        """`rule` for these pods (`negated`: for all others)."""
        if len(pods) == 1 and not negated:
            return of_pods(rule, self._direction, host_prefix(pods[0]))
        ipset = address_set(kind, self._family, pods, _MEANINGS[kind])
        written.sets.append(ipset)
        return of_pods(rule, self._direction, ipset, negated=negated)


def _inside(pod: Address, prefixes: Iterable[Prefix]) -> bool:
    return any(pod in prefix for prefix in prefixes)


def _disjoint(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """All of one family: what meets two of them would be counted twice."""
    return collapse_addresses(prefixes)  # type: ignore[type-var]
