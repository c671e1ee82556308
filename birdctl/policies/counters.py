"""What passed the rules of each policy, ever growing although chains are filled anew. Pure.

A rule that says the same for several policies counts for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Effect, Reading, Rule
from birdctl.policies.compile.names import POLICY, direction_of, refusing_chain
from birdctl.policies.model import Direction


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
_NOTHING = (0, 0)


class Counters:
    """Adds up what comes between readings; a chain is read before its end, and then forgotten."""

    def __init__(self) -> None:
        self._last: dict[tuple[Family, str], Reading] = {}
        self._totals: dict[_Whose, tuple[int, int]] = {}

    def add(self, readings: Iterable[Reading]) -> None:
        """What has come since these chains were read last."""
        for each in readings:
            if len(each.counts) == len(each.chain.rules):
                self._add(each, self._last.get((each.family, each.chain.name)))
                self._last[each.family, each.chain.name] = each

    def _add(self, now: Reading, before: Reading | None) -> None:
        known = before.counts if before and before.chain == now.chain else (_NOTHING,) * len(now.counts)
        for rule, count, last in zip(now.chain.rules, now.counts, known, strict=True):
            for whose in _whose(rule, now.chain):
                self._totals[whose] = _sum(self._totals.get(whose, _NOTHING), _gained(count, last))

    def forget(self, family: Family, chains: Iterable[str]) -> None:
        """These have ended, or begun again."""
        for name in chains:
            self._last.pop((family, name), None)

    def totals(self) -> tuple[Counter, ...]:
        """All counters, sorted."""
        return tuple(
            Counter(policy=policy, direction=direction, effect=effect, packets=packets, bytes=size)
            for (policy, direction, effect), (packets, size) in sorted(self._totals.items())
        )


def counts(chain: Chain) -> bool:
    """Whether a rule of it is anybody's."""
    return any(_whose(rule, chain) for rule in chain.rules)


def _whose(rule: Rule, chain: Chain) -> tuple[_Whose, ...]:
    if chain.name == POLICY:
        return ()
    direction = direction_of(chain.name)
    if rule.effect:
        return tuple((policy, direction, rule.effect) for policy in rule.origins)
    if rule.target in _REFUSALS and chain.name == refusing_chain(direction):
        return (("", direction, Effect.DENY),)
    return ()


def _gained(now: tuple[int, int], before: tuple[int, int]) -> tuple[int, int]:
    """A count that went down began again."""
    return now if now[0] < before[0] else (now[0] - before[0], now[1] - before[1])


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
