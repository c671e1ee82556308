"""The table of one family: from the hooks to each pod's rules in a number of steps that does not grow with the pods.

    hook -> POLICY -> IN (and EG) -> block -> class -> DENY

A class is the pods with the same rules, a block about as many classes as there are blocks. All sets that lead to a
class are named by their content, so that a pod changes class in one transaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from birdctl.addresses import Address, Family, Prefix
from birdctl.policies.compile.body import Body
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.matches import POD_SIDE, address_set, of_pods
from birdctl.policies.compile.names import POLICY, chain_name, cut_set, direction_chain
from birdctl.policies.model import Chain, Direction, IpSet, Rule, SetMatch, SetType, Table

INLINE = 2
"""At most so many rules of a class stand in its block, with the pod's address in each."""

CUT_SECONDS = 60

Classes = Sequence[tuple[Body, Sequence[Address]]]
"""What applies to which of this node's pods, sorted by the name of the body's chain; addresses sorted."""


def build(
    family: Family, classes: Mapping[Direction, Classes], closed: Sequence[Prefix], fixed: Fixed
) -> tuple[Table, tuple[IpSet, ...]]:
    """The whole table, and the sets of pods it uses. In the prefixes `closed` unknown addresses are refused."""
    writer = _Writer(family, closed, fixed)
    entries = [
        rule
        for direction in (Direction.EGRESS, Direction.INGRESS)
        for rule in writer.direction(direction, classes[direction])
    ]
    if not entries:
        return Table(family=family, hooks=(), chains={}), ()
    cut = IpSet(
        name=cut_set(family),
        type=SetType.IP_PORT_IP,
        family=family,
        entries=frozenset(),
        meaning="connections cut just now: responder, its port, initiator",
        timeout=CUT_SECONDS,
    )
    writer.add(POLICY, [Rule(target="DROP", sets=(SetMatch(name=cut.name, directions="src,src,dst"),)), *entries])
    writer.sets[cut.name] = cut
    return Table(family=family, hooks=HOOKS, chains=writer.chains), tuple(writer.sets.values())


_NEW = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
HOOKS = (
    ("FORWARD", Rule(target=POLICY, extra=_NEW)),
    ("OUTPUT", Rule(target=POLICY, extra=(*_NEW, "-m", "addrtype", "!", "--src-type", "LOCAL"))),
)
"""A connection's later packets pass one rule. A pod's own node always reaches it: that is OUTPUT from a local address.
What else is in OUTPUT was redirected from a service's address to the pod.
"""


class _Writer:
    def __init__(self, family: Family, closed: Sequence[Prefix], fixed: Fixed) -> None:
        self._family = family
        self._closed = closed
        self._fixed = fixed
        self.chains: dict[str, Chain] = {}
        self.sets: dict[str, IpSet] = {}

    def add(self, name: str, rules: Iterable[Rule]) -> None:
        self.chains[name] = Chain(name=name, rules=tuple(rules))

    def direction(self, direction: Direction, classes: Classes) -> list[Rule]:
        """The rules that lead into a direction's chain, which is written if there are any."""
        guards = self._guards(direction, classes)
        if guards:
            for chain in self._fixed.refusing(direction, self._family):
                self.chains[chain.name] = chain
            dispatched = [(body, pods) for body, pods in classes if body.rules]
            self.add(direction_chain(direction), self._dispatch(direction, dispatched))
        return guards

    def _guards(self, direction: Direction, classes: Classes) -> list[Rule]:
        """Open pods do not enter. Within `closed`, what is not open does; elsewhere what is not open for sure."""
        jump = Rule(target=direction_chain(direction))
        is_open = [pod for body, pods in classes if body.is_open for pod in pods]
        restricted = [pod for body, pods in classes if not body.is_open for pod in pods]
        guards = []
        for prefix in self._closed:
            inside = [pod for pod in is_open if pod in prefix]
            ingress = direction is Direction.INGRESS
            rule = replace(jump, destination=prefix) if ingress else replace(jump, source=prefix)
            if inside:
                known = self._pods("open", inside, "pods that nothing closes")
                match = SetMatch(name=known.name, directions=POD_SIDE[direction], negated=True)
                rule = replace(rule, sets=(match,))
            guards.append(rule)
        outside = [pod for pod in restricted if not any(pod in prefix for prefix in self._closed)]
        if outside:
            guards.append(of_pods(jump, direction, self._pods("iso", outside, "pods with policies")))
        return guards

    def _dispatch(self, direction: Direction, classes: Classes) -> list[Rule]:
        end = self._end(direction)
        blocks = _blocks(classes)
        if len(blocks) == 1:
            return [*self._block(direction, blocks[0]), end]
        rules = []
        for block in blocks:
            pods = self._pods("block", [pod for _, pods in block for pod in pods], f"{len(block)} classes of pods")
            inside = (*self._block(direction, block), end)
            name = chain_name(direction, inside)
            self.add(name, inside)
            rules.append(of_pods(Rule(target=name, goto=True), direction, pods))
        return [*rules, end]

    def _block(self, direction: Direction, classes: Classes) -> list[Rule]:
        return [rule for body, pods in classes for rule in self._class(direction, body, pods)]

    def _class(self, direction: Direction, body: Body, pods: Sequence[Address]) -> list[Rule]:
        """A few rules in place, more in a chain of their own. The end of the block is that of closed pods."""
        for chain in body.further:
            self.chains[chain.name] = chain
        whose = pods[0] if len(pods) == 1 else self._pods("class", pods, "pods with the same policies")
        rules = body.rules if body.end == self._end(direction) else (*body.rules, body.end)
        if len(rules) > INLINE:
            self.chains[body.chain.name] = body.chain
            rules = (Rule(target=body.chain.name, goto=True),)
        return [of_pods(rule, direction, whose) for rule in rules]

    def _end(self, direction: Direction) -> Rule:
        return Rule(target=self._fixed.refuse(direction), goto=True)

    def _pods(self, kind: str, pods: Sequence[Address], meaning: str) -> IpSet:
        found = address_set(kind, self._family, pods, meaning)
        return self.sets.setdefault(found.name, found)


def _blocks(classes: Classes) -> list[Classes]:
    """About as many as classes in each: a power of two, so that one class more rarely moves others."""
    number = 2 ** round(math.log2(max(len(classes), 1)) / 2)
    blocks: list[list[tuple[Body, Sequence[Address]]]] = [[] for _ in range(number)]
    for item in classes:
        blocks[int(item[0].chain.name[-16:], 16) % number].append(item)
    return [block for block in blocks if block] or [[]]
