"""What all policies together say to one pod in one direction. Pods told the same are one class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from birdctl.policies.compile.peers import Block, Endpoint
from birdctl.policies.compile.rules import Clause, Policy, clauses
from birdctl.policies.model import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a staged policy (or several NetworkPolicies together) would do, which is only counted.

    `closed`: connections that no clause matches would be denied.
    """

    clauses: tuple[Clause, ...]
    closed: bool
    policies: tuple[str, ...]


Step = Clause | Staged


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tried in order: `admin`, whose PASS goes on with `rest`; then `rest`, NetworkPolicies or the baseline.

    What nothing matches is denied if `closed`, else allowed. `policies` are the NetworkPolicies that close.
    """

    admin: tuple[Step, ...] = ()
    rest: tuple[Step, ...] = ()
    closed: bool = False
    policies: tuple[str, ...] = ()


def plan(pod: Endpoint, policies: Iterable[Policy], direction: Direction) -> Plan:
    """`policies` are those that select the pod, in order."""
    relevant = [policy for policy in policies if direction in policy.rules]
    admin = _ordered((one for one in relevant if one.order and not one.baseline), direction, pod)
    network = [one for one in relevant if one.order is None]
    enforced = [one for one in network if not one.staged]
    if enforced:
        refs = tuple(policy.ref for policy in enforced)
        return Plan(admin=admin, rest=_merged(enforced, direction, pod), closed=True, policies=refs)
    baseline = _ordered((one for one in relevant if one.baseline), direction, pod)
    return Plan(admin=admin, rest=(*_watched(network, direction, pod), *baseline))


def _ordered(policies: Iterable[Policy], direction: Direction, pod: Endpoint) -> tuple[Step, ...]:
    steps: list[Step] = []
    for policy in policies:
        found = tuple(clauses(policy, direction, pod))
        if policy.staged and found:
            steps.append(Staged(clauses=found, closed=False, policies=(policy.ref,)))
        elif not policy.staged:
            steps += found
    return tuple(steps)


def _watched(staged: list[Policy], direction: Direction, pod: Endpoint) -> tuple[Staged, ...]:
    """Staged NetworkPolicies: they would isolate a pod that is not isolated, and then add up."""
    if not staged:
        return ()
    refs = tuple(policy.ref for policy in staged)
    return (Staged(clauses=_merged(staged, direction, pod), closed=True, policies=refs),)


def _merged(policies: Iterable[Policy], direction: Direction, pod: Endpoint) -> tuple[Clause, ...]:
    """Their clauses, each once, whoever says it. As all of them allow, those that cost a packet least come first."""
    found: dict[Clause, tuple[str, ...]] = {}
    for policy in policies:
        for clause in clauses(policy, direction, pod):
            words = replace(clause, policies=())
            found[words] = (*found.get(words, ()), policy.ref)
    merged = (replace(words, policies=tuple(dict.fromkeys(refs))) for words, refs in found.items())
    return tuple(sorted(merged, key=_cost))


def _cost(clause: Clause) -> int:
    """An address is cheaper to compare than to look up, and that cheaper than to look up each length of prefixes."""
    match clause.peer:
        case None | Block(excepts=()):
            return 0
        case Block():
            return 2
        case _:
            return 1
