"""A block: the rules of some classes of pods, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from birdctl.addresses import Address, Family
from birdctl.netfilter.model import Chain, IpSet, Rule
from birdctl.policies.compile.body import Body
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.matches import address_set, of_pods
from birdctl.policies.compile.names import chain_name
from birdctl.policies.model import Direction

INLINE = 2
"""At most so many rules of a class stand in its block, with the pod's address in each."""

Classes = list[tuple[Body, tuple[Address, ...]]]
"""What applies to which of this node's pods, sorted by the name of the body's chain; addresses sorted."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Chains and sets by name, as they are found."""

    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, IpSet] = field(default_factory=dict)

    def add_chains(self, chains: Iterable[Chain]) -> None:
        self.chains.update((chain.name, chain) for chain in chains)

    def add_set(self, ipset: IpSet) -> IpSet:
        return self.sets.setdefault(ipset.name, ipset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`pods` are all in it; `chains` and `sets` are what its own chain leads to."""

    pods: IpSet
    chain: Chain
    chains: tuple[Chain, ...]
    sets: dict[str, IpSet]


def block(family: Family, direction: Direction, classes: Classes, fixed: Fixed) -> Block:
    """A few rules of a class in place, more in a chain of its own; at the end, whoever is here is closed."""
    contents = Contents()
    last = end(fixed, direction)
    rules: list[Rule] = []
    for body, pods in classes:
        contents.add_chains(body.further)
        its_rules = body.rules if body.end == last else (*body.rules, body.end)
        if len(its_rules) > INLINE:
            contents.add_chains([body.chain])
            its_rules = (Rule(target=body.chain.name, goto=True),)
        whose: Address | IpSet = pods[0]
        if len(pods) > 1:
            whose = contents.add_set(address_set("class", family, pods, "pods with the same policies"))
        rules += [of_pods(rule, direction, whose) for rule in its_rules]
    everyone = [pod for _, pods in classes for pod in pods]
    return Block(
        pods=address_set("block", family, everyone, "pods of some classes"),
        chain=Chain(name=chain_name(direction, (*rules, last)), rules=(*rules, last)),
        chains=tuple(contents.chains.values()),
        sets=contents.sets,
    )


def end(fixed: Fixed, direction: Direction) -> Rule:
    """The last rule of every chain that only closed pods get to the end of."""
    return Rule(target=fixed.refuse(direction), goto=True)
