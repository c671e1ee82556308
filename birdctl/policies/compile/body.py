"""From the plan of a class of pods to its rules in one family, not yet saying which pods.

Allowed is RETURN: what follows the hook, other programs' rules included, still decides. Every chain that is reached by
goto ends in a rule that always decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Effect, Rule
from birdctl.policies.compile.fixed import LIMIT, Fixed, refuse
from birdctl.policies.compile.matches import from_peer, used_set
from birdctl.policies.compile.names import chain_name
from birdctl.policies.compile.peers import Peer, in_family
from birdctl.policies.compile.plan import Plan, Staged, Step
from birdctl.policies.compile.rules import Clause
from birdctl.policies.model import Direction

INLINE = 2
"""At most so many rules of a class stand beside those of others, with the pod in each."""
ALLOWED = Rule(target="RETURN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`chain` has all its rules, and decides.

    `in_place` says the same in a chain that refuses at its end, nothing if all is open or all closed. `chains` are
    those that it leads to, `peers` those of all rules, by the names of the sets they use.
    """

    chain: Chain
    in_place: tuple[Rule, ...]
    chains: tuple[Chain, ...]
    peers: Mapping[str, Peer]

    @property
    def is_open(self) -> bool:
        return self.chain.rules == (ALLOWED,)


def body(plan: Plan, direction: Direction, family: Family, fixed: Fixed) -> Body:
    """The rules of `plan`."""
    end = refuse(direction) if plan.closed else ALLOWED
    writer = _Writer(direction, family, fixed)
    admin = [step for step in plan.admin if isinstance(step, Staged) or in_family(step.peer, family)]
    rest = writer.rules(plan.rest, ALLOWED)
    if rest and any(isinstance(step, Clause) and step.effect is Effect.PASS for step in admin):
        end = Rule(target=writer.chain((*rest, end)), goto=True)
        rest = ()
    rules = (*writer.rules(admin, passed=end), *rest, end)
    chain = Chain(name=chain_name(direction, rules), rules=rules)
    in_place = rules[:-1] if end == refuse(direction) or len(rules) == 1 else rules
    if len(in_place) > INLINE:
        in_place = (Rule(target=chain.name, goto=True),)
        writer.chains.append(chain)
    return Body(chain=chain, in_place=in_place, chains=tuple(writer.chains), peers=writer.peers)


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
        return (self._clause(step, self._decision(step, passed)),) if in_family(step.peer, self._family) else ()

    def _decision(self, clause: Clause, passed: Rule) -> Rule:
        match clause.effect:
            case Effect.PASS:
                return passed
            case Effect.DENY:
                denied = self._fixed.dropping(self._direction, self._family, clause.policies)
                return Rule(target=self.chain(denied), goto=True)
            case _:
                return ALLOWED

    def _clause(self, clause: Clause, decision: Rule) -> Rule:
        rule = replace(
            decision,
            protocol=clause.protocol,
            ports=clause.ports,
            origins=clause.policies,
            effect=clause.effect,
        )
        if clause.peer is not None and (name := used_set(clause.peer, self._family)):
            self.peers[name] = clause.peer
        return from_peer(rule, self._direction, clause.peer, self._family)

    def _watching(self, staged: Staged) -> Rule:
        """A jump to a chain that always returns, and counts what would be denied in its last rule."""
        log = replace(self._fixed.log(f"would deny {self._direction.lower()}", staged.policies), extra=LIMIT)
        rules = list(self._fixed.exempt(self._family))
        for clause in staged.clauses:
            if in_family(clause.peer, self._family):
                denies = clause.effect is Effect.DENY
                rules += [replace(self._clause(clause, log), origins=(), effect=None)] if denies else []
                rule = self._clause(clause, ALLOWED)
                rules.append(replace(rule, effect=Effect.WOULD_DENY) if denies else rule)
        if staged.closed:
            rules += [log, replace(ALLOWED, origins=staged.policies, effect=Effect.WOULD_DENY)]
        return Rule(target=self.chain(rules))
