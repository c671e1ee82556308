"""What NFLOG calls a refused packet: by the NetworkPolicies that select the pod, none of which allows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdctl.addresses import Address
from birdctl.netfilter.model import Rule
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.model import Direction

NAMED = 8
"""In a namespace with more combinations of policies one rule tells their number for all: not a rule for each pod."""

Refusers = Mapping[tuple[str, ...], tuple[Address, ...]]
"""Pods by the NetworkPolicies that select them, sorted."""


def reasons(refusers: Refusers, direction: Direction, fixed: Fixed) -> Iterator[tuple[Rule, tuple[Address, ...]]]:
    """Rules that log, not yet saying which pods, and these."""
    what = f"deny {direction.lower()}"
    for space, combinations in _by_namespace(refusers).items():
        if len(combinations) <= NAMED:
            for policies, pods in combinations.items():
                yield fixed.log(what, policies), pods
        else:
            every = {policy for policies in combinations for policy in policies}
            pods = tuple(sorted(pod for each in combinations.values() for pod in each))
            yield fixed.log(what, (f"{len(every)} policies of {space}",)), pods


def _by_namespace(refusers: Refusers) -> dict[str, dict[tuple[str, ...], tuple[Address, ...]]]:
    found: dict[str, dict[tuple[str, ...], tuple[Address, ...]]] = {}
    for policies, pods in refusers.items():
        space = policies[0].partition(" ")[2].partition("/")[0]
        found.setdefault(space, {})[policies] = pods
    return found
