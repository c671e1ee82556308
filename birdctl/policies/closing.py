"""What is programmed when the kernel refuses a part of the desired state: that part closed, the rest untouched. Pure.

A rule that allows is left out. One that denies or passes on becomes a denial of everything for its pods, as nothing
after it may then decide; a REJECT becomes a DROP. A pod whose own rules cannot be reached falls to the denial at the
end of REST. A set without which there are no policies gets another name, which is all that can be wrong with it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from birdctl.errors import Unavailable
from birdctl.netfilter.model import Chain, Effect, Rule, Table
from birdctl.policies.compile.matches import POD_SIDE
from birdctl.policies.compile.names import another_name, direction_of, refusing_chain, rest_chain
from birdctl.policies.model import Direction, PolicyState
from birdctl.policies.transition import renamed

_ELSEWHERE = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What the kernel refused, and its reasons: sets by name, and rules."""

    sets: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[Rule, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sets or self.rules)

    def __or__(self, other: Refused) -> Refused:
        return Refused(sets={**self.sets, **other.sets}, rules={**self.rules, **other.rules})

    def reason(self, rule: Rule) -> str | None:
        """Why the rule cannot be; None when it can."""
        for match in rule.sets:
            if match.name in self.sets:
                return f"ipset {match.name}: {self.sets[match.name]}"
        return self.rules.get(rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """`state` can be programmed; `reasons` why it is not the desired one, by policy ("" for what is nobody's)."""

    state: PolicyState
    reasons: Mapping[str, str]


def close(desired: PolicyState, refused: Refused) -> Closed:
    """The desired state without what is refused. Raises Unavailable when that is something all policies need."""
    if not refused:
        return Closed(state=desired, reasons={})
    reasons: dict[str, str] = {}
    desired = _elsewhere(desired, refused)
    tables = {family: _table(table, refused, reasons) for family, table in desired.tables.items()}
    sets = {name: each for name, each in desired.sets.items() if name not in refused.sets}
    return Closed(state=PolicyState(tables=tables, sets=sets), reasons=reasons)


def _elsewhere(desired: PolicyState, refused: Refused) -> PolicyState:
    """With other names for refused sets that all policies need: somebody else may have theirs."""
    vital = {
        match.name
        for table in desired.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        if _is_of_strangers(rule, chain.name)
        for match in rule.sets
    }
    names = {name: another_name(name, _ELSEWHERE) for name in vital & refused.sets.keys()}
    return PolicyState(
        tables={family: renamed(table, names) for family, table in desired.tables.items()},
        sets={
            names.get(name, name): replace(each, name=names[name]) if name in names else each
            for name, each in desired.sets.items()
        },
    )


def _table(table: Table, refused: Refused, reasons: dict[str, str]) -> Table:
    entries = {rule.target for _, rule in table.hooks}
    chains = {}
    for name, chain in table.chains.items():
        faults = {rule: reason for rule in chain.rules if (reason := refused.reason(rule))}
        for rule, reason in faults.items():
            if _is_vital(rule, chain, entries):
                raise Unavailable(f"the kernel cannot do what every policy needs ({rule.target}): {reason}")
            reasons |= dict.fromkeys(_concerned(rule, table), reason)
        chains[name] = _chain(chain, faults, refused) if faults else chain
    return replace(table, chains=chains)


def _is_vital(rule: Rule, chain: Chain, entries: Collection[str]) -> bool:
    """Whether more than one policy depends on it: it ends a chain, leads from a hook to others, or is a stranger's."""
    if rule.target == "REJECT":
        return False
    ends = rule == chain.rules[-1] and rule.effect is None
    return ends or (chain.name in entries and rule.target != "DROP") or _is_of_strangers(rule, chain.name)


def _is_of_strangers(rule: Rule, chain: str) -> bool:
    """Whether it opens or closes addresses that no policy speaks of."""
    return any(chain == rest_chain(each) and rule.target in ("RETURN", refusing_chain(each)) for each in Direction)


def _chain(chain: Chain, faults: Collection[Rule], refused: Refused) -> Chain:
    rules = (
        rule for each in chain.rules for rule in (_instead(each, chain.name, refused) if each in faults else (each,))
    )
    return replace(chain, rules=tuple(rules))


def _instead(rule: Rule, chain: str, refused: Refused) -> Iterator[Rule]:
    """What stands for a refused rule: nothing, a denial for its pods, or a silent one for one with an answer.

    Pods of a set that is refused cannot be named: without rules they come to the denial at the end of their block.
    """
    if rule.target == "REJECT":
        yield replace(rule, target="DROP", options=())
    elif rule.effect in (Effect.DENY, Effect.PASS):
        direction = direction_of(chain)
        side = "destination" if direction is Direction.INGRESS else "source"
        pods = tuple(match for match in rule.sets if match.directions == POD_SIDE[direction])
        if any(match.name in refused.sets for match in pods):
            return
        yield Rule(
            target=rule.target if rule.effect is Effect.DENY else refusing_chain(direction),
            goto=True,
            sets=pods,
            origins=rule.origins,
            effect=Effect.DENY,
            **{side: getattr(rule, side)},
        )


def _concerned(rule: Rule, table: Table, depth: int = 0) -> Iterator[str]:
    """Whose rule it is; of one that leads to others, whose those are."""
    chain = table.chains.get(rule.target)
    if rule.origins or chain is None or depth > len(table.chains):
        yield from rule.origins or ("",)
        return
    for each in chain.rules:
        if each.origins or each.target in table.chains:
            yield from _concerned(each, table, depth + 1)
