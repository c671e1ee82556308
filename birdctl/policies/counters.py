"""What passed the rules of each policy, ever growing although chains are filled anew. Pure.

A rule that says the same for several policies counts for the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from birdctl.addresses import Family
from birdctl.policies.compile.names import POLICY, direction_of, refusing_chain
from birdctl.policies.model import Chain, Direction, Effect, Rule

Counts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the kernel says of the rules of one chain: packets and bytes of each, in order."""

    family: Family
    chain: Chain
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """First packets of connections, by what a policy made of them. `policy` "": refused since none allowed them."""

    policy: str
    direction: Direction
    effect: Effect
    packets: int
    bytes: int


_REFUSALS = ("REJECT", "DROP")

_Whose = tuple[str, Direction, Effect]
_Where = tuple[Family, str, int, Rule]


class Counters:
    """Adds up what comes between readings; what comes between the last reading and a chain's end is lost."""

    def __init__(self) -> None:
        self._last: dict[_Where, tuple[int, int]] = {}
        self._totals: dict[_Whose, tuple[int, int]] = {}

    def update(self, readings: Iterable[Reading]) -> tuple[Counter, ...]:
        """All counters after these readings of everything, sorted."""
        seen: dict[_Where, tuple[int, int]] = {}
        for where, whose, count in _counted(readings):
            seen[where] = count
            gained = _gained(count, self._last.get(where, (0, 0)))
            self._totals[whose] = _sum(self._totals.get(whose, (0, 0)), gained)
        self._last = seen
        return tuple(
            Counter(policy=policy, direction=direction, effect=effect, packets=packets, bytes=size)
            for (policy, direction, effect), (packets, size) in sorted(self._totals.items())
        )


def _counted(readings: Iterable[Reading]) -> Iterator[tuple[_Where, _Whose, tuple[int, int]]]:
    for each in readings:
        if each.chain.name == POLICY or len(each.counts) != len(each.chain.rules):
            continue
        for position, (rule, count) in enumerate(zip(each.chain.rules, each.counts, strict=True)):
            if whose := _whose(rule, each.chain):
                yield (each.family, each.chain.name, position, rule), whose, count


def _whose(rule: Rule, chain: Chain) -> _Whose | None:
    direction = direction_of(chain.name)
    if rule.policies and rule.effect:
        return rule.policies[0], direction, rule.effect
    if rule.target in _REFUSALS and chain.name == refusing_chain(direction):
        return "", direction, Effect.DENY
    return None


def _gained(now: tuple[int, int], before: tuple[int, int]) -> tuple[int, int]:
    """A count that went down began again."""
    return now if now[0] < before[0] else (now[0] - before[0], now[1] - before[1])


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
