"""The table of one family: from the hooks to each pod's rules in a number of steps that does not grow with the pods.

    hook -> POLICY -> IN (and EG) -> block -> class -> DENY

A class is the pods with the same rules, a block about as many classes as there are blocks. All sets that lead to a
class are named by their content, so that a pod changes class in one transaction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from birdctl.addresses import Address, Family, Prefix
from birdctl.netfilter.model import Chain, IpSet, Owner, Rule, SetMatch, SetType, Table
from birdctl.policies.compile.block import Block, Classes, Contents, block, end
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.matches import POD_SIDE, address_set, of_pods
from birdctl.policies.compile.names import POLICY, cut_set, direction_chain
from birdctl.policies.model import Direction

CUT_SECONDS = 60

_NEW = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
HOOKS = (
    ("FORWARD", Rule(target=POLICY, extra=_NEW)),
    ("OUTPUT", Rule(target=POLICY, extra=(*_NEW, "-m", "addrtype", "!", "--src-type", "LOCAL"))),
)
"""A connection's later packets pass one rule. A pod's own node always reaches it: that is OUTPUT from a local address.
What else is in OUTPUT was redirected from a service's address to the pod.
"""

_Key = tuple[Direction, tuple[tuple[str, tuple[Address, ...]], ...]]


class TableWriter:
    """Writes the table of one family again and again; blocks of the same classes are kept."""

    def __init__(self, family: Family, fixed: Fixed) -> None:
        self._family = family
        self._fixed = fixed
        self._blocks: dict[_Key, Block] = {}

    def table(self, classes: Mapping[Direction, Classes], closed: Sequence[Prefix]) -> tuple[Table, dict[str, IpSet]]:
        """The table, and the sets of this node's pods that it uses. In `closed` unknown addresses are refused."""
        contents = Contents()
        kept, self._blocks = self._blocks, {}
        entries: list[Rule] = []
        for direction in (Direction.EGRESS, Direction.INGRESS):
            guards = self._guards(direction, classes[direction], closed, contents)
            if guards:
                entries += guards
                dispatch = self._dispatch(direction, classes[direction], kept, contents)
                contents.add_chains([Chain(name=direction_chain(direction), rules=dispatch)])
                used = {rule.target for chain in contents.chains.values() for rule in chain.rules}
                refusing = self._fixed.refusing(direction, self._family)
                contents.add_chains(chain for chain in refusing if chain.name in used)
        if not entries:
            return Table(owner=Owner.POLICIES, family=self._family, hooks=(), chains={}), {}
        cut = contents.add_set(self._cut())
        first = Rule(target="DROP", sets=(SetMatch(name=cut.name, directions="src,src,dst"),))
        contents.add_chains([Chain(name=POLICY, rules=(first, *entries))])
        return Table(owner=Owner.POLICIES, family=self._family, hooks=HOOKS, chains=contents.chains), contents.sets

    def _cut(self) -> IpSet:
        return IpSet(
            name=cut_set(self._family),
            type=SetType.IP_PORT_IP,
            family=self._family,
            entries=frozenset(),
            meaning="connections cut just now: responder, its port, initiator",
            timeout=CUT_SECONDS,
        )

    def _guards(
        self, direction: Direction, classes: Classes, closed: Sequence[Prefix], contents: Contents
    ) -> list[Rule]:
        """What leads into a direction's chain: within `closed` all that is not known as open, elsewhere what is not."""
        jump = Rule(target=direction_chain(direction))
        is_open = [pod for body, pods in classes if body.is_open for pod in pods]
        restricted = [pod for body, pods in classes if not body.is_open for pod in pods]
        guards = []
        for prefix in closed:
            ingress = direction is Direction.INGRESS
            rule = replace(jump, destination=prefix) if ingress else replace(jump, source=prefix)
            if inside := [pod for pod in is_open if pod in prefix]:
                known = contents.add_set(address_set("open", self._family, inside, "pods that nothing restricts"))
                match = SetMatch(name=known.name, directions=POD_SIDE[direction], negated=True)
                rule = replace(rule, sets=(match,))
            guards.append(rule)
        if outside := [pod for pod in restricted if not any(pod in prefix for prefix in closed)]:
            isolated = contents.add_set(address_set("iso", self._family, outside, "pods with policies"))
            guards.append(of_pods(jump, direction, isolated))
        return guards

    def _dispatch(
        self, direction: Direction, classes: Classes, kept: Mapping[_Key, Block], contents: Contents
    ) -> tuple[Rule, ...]:
        parts = _parts([(body, pods) for body, pods in classes if body.rules])
        rules = []
        for part in parts:
            key = (direction, tuple((body.chain.name, pods) for body, pods in part))
            found = self._blocks[key] = kept.get(key) or block(self._family, direction, part, self._fixed)
            contents.add_chains(found.chains)
            contents.sets.update(found.sets)
            if len(parts) == 1:
                return found.chain.rules
            contents.add_chains([found.chain])
            contents.add_set(found.pods)
            rules.append(of_pods(Rule(target=found.chain.name, goto=True), direction, found.pods))
        return (*rules, end(self._fixed, direction))


def _parts(classes: Classes) -> list[Classes]:
    """About as many as classes in each: a power of two, so that one class more rarely moves others."""
    number = 2 ** round(math.log2(max(len(classes), 1)) / 2)
    parts: list[Classes] = [[] for _ in range(number)]
    for item in classes:
        parts[int(item[0].chain.name[-4:], 16) % number].append(item)
    return [part for part in parts if part] or [[]]
