"""A block: classes of many pods each, one after the other. Its rules name sets of pods, not each pod."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from birdctl.addresses import Address, Family
from birdctl.netfilter.model import Chain, IpSet
from birdctl.policies.compile.body import Body
from birdctl.policies.compile.fixed import refuse
from birdctl.policies.compile.matches import address_set, of_pods
from birdctl.policies.compile.names import chain_name
from birdctl.policies.model import Direction

Classes = Sequence[tuple[Body, tuple[Address, ...]]]
"""What applies to which of this node's pods, sorted by the name of the body's chain; addresses sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`pods` are all in it, `classes` those of each class; `chains` are what its own chain leads to."""

    pods: IpSet
    classes: tuple[IpSet, ...]
    chain: Chain
    chains: tuple[Chain, ...]


def block(family: Family, direction: Direction, classes: Classes) -> Block:
    """The rules of each class for its pods; at the end, whoever is here is closed."""
    sets = [address_set("class", family, pods, "pods with the same policies") for _, pods in classes]
    everyone = [pod for _, pods in classes for pod in pods]
    rules = (
        *(
            of_pods(rule, direction, pods)
            for pods, (body, _) in zip(sets, classes, strict=True)
            for rule in body.in_place
        ),
        refuse(direction),
    )
    return Block(
        pods=address_set("block", family, everyone, "pods of some classes"),
        classes=tuple(sets),
        chain=Chain(name=chain_name(direction, rules), rules=rules),
        chains=tuple(chain for body, _ in classes for chain in body.chains),
    )


def parts(classes: Classes) -> list[Classes]:
    """About as many as classes in each: a power of two, so that one class more rarely moves others."""
    if not classes:
        return []
    number = 2 ** round(math.log2(len(classes)) / 2)
    found: list[list[tuple[Body, tuple[Address, ...]]]] = [[] for _ in range(number)]
    for item in classes:
        found[int(item[0].chain.name[-4:], 16) % number].append(item)
    return [part for part in found if part]
