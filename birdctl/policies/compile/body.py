"""From the plan of a class of pods to its rules in one family, not yet saying which pods.

Allowed is RETURN: what follows the hook, other programs' rules included, still decides. Every chain that is reached by
goto ends in a rule that always decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Effect, Rule
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.matches import from_peer, used_set
from birdctl.policies.compile.names import chain_name
from birdctl.policies.compile.peers import Peer, in_family
from birdctl.policies.compile.plan import Plan, Staged, Step
from birdctl.policies.compile.rules import Clause
from birdctl.policies.model import Direction

ALLOWED = Rule(target="RETURN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`chain` has all its rules: `rules`, then `end` for what they leave undecided.

    `further` are the chains they lead to, `peers` by the names of the sets they use.
    """

    chain: Chain
    rules: tuple[Rule, ...]
    end: Rule
    further: tuple[Chain, ...]
    peers: Mapping[str, Peer]

    @property
    def is_open(self) -> bool:
        return not self.rules and self.end == ALLOWED

    @property
    def is_closed(self) -> bool:
        return not self.rules and self.end != ALLOWED


def body(plan: Plan, direction: Direction, family: Family, fixed: Fixed) -> Body:
    """The rules of `plan`."""
    end = Rule(target=fixed.refuse(direction), goto=True) if plan.closed else ALLOWED
    writer = _Writer(direction, family, fixed)
    admin = [step for step in plan.admin if isinstance(step, Staged) or in_family(step.peer, family)]
    rest = writer.rules(plan.rest, ALLOWED)
    if rest and any(isinstance(step, Clause) and step.effect is Effect.PASS for step in admin):
        end = Rule(target=writer.chain((*rest, end)), goto=True)
        rest = ()
    rules = (*writer.rules(admin, passed=end), *rest)
    return Body(
        chain=Chain(name=chain_name(direction, (*rules, end)), rules=(*rules, end)),
        rules=rules,
        end=end,
        further=tuple(writer.chains),
        peers=writer.peers,
    )


class _Writer:
    def __init__(self, direction: Direction, family: Family, fixed: Fixed) -> None:
        self._direction = direction
        self._family = family
        self._fixed = fixed
        self.chains: list[Chain] = []
        self.peers: dict[str, Peer] = {}

    def chain(self, rules: Iterable[Rule]) -> str:
        """The name of a chain of these rules, which is noted."""
        chain = Chain(name=chain_name(self._direction, rules := tuple(rules)), rules=rules)
        self.chains.append(chain)
        return chain.name

    def rules(self, steps: Sequence[Step], passed: Rule) -> tuple[Rule, ...]:
        """`passed` is what PASS does."""
        return tuple(rule for step in steps for rule in self._step(step, passed))

    def _step(self, step: Step, passed: Rule) -> Iterable[Rule]:
        if isinstance(step, Staged):
            return (self._watching(step),)
        return (self._clause(step, self._decision(step.effect, passed)),) if in_family(step.peer, self._family) else ()

    def _decision(self, effect: Effect, passed: Rule) -> Rule:
        match effect:
            case Effect.PASS:
                return passed
            case Effect.DENY:
                return Rule(target=self._fixed.drop(self._direction), goto=True)
            case _:
                return ALLOWED

    def _clause(self, clause: Clause, decision: Rule) -> Rule:
        rule = replace(
            decision,
            protocol=clause.protocol,
            ports=clause.ports,
            policies=clause.policies,
            effect=clause.effect,
        )
        if clause.peer is not None and (name := used_set(clause.peer, self._family)):
            self.peers[name] = clause.peer
        return from_peer(rule, self._direction, clause.peer, self._family)

    def _watching(self, staged: Staged) -> Rule:
        """A jump to a chain that always returns, and counts what would be denied in its last rule."""
        log = self._fixed.log(f"would deny {self._direction.lower()}: {', '.join(staged.policies)}")
        rules = list(self._fixed.exempt(self._family))
        for clause in staged.clauses:
            if in_family(clause.peer, self._family):
                denies = clause.effect is Effect.DENY
                rules += [replace(self._clause(clause, log), policies=(), effect=None)] if denies else []
                rule = self._clause(clause, ALLOWED)
                rules.append(replace(rule, effect=Effect.WOULD_DENY) if denies else rule)
        if staged.closed:
            rules += [log, replace(ALLOWED, policies=staged.policies, effect=Effect.WOULD_DENY)]
        return Rule(target=self.chain(rules))
