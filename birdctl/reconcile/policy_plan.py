"""What a pass over the policies is about to do to this node's kernel, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from birdctl.errors import InputError
from birdctl.netfilter import iptables_text
from birdctl.netfilter.model import IpSet, Owner, Rule, Table
from birdctl.observe.listing import some
from birdctl.policies.model import PolicyState
from birdctl.reconcile.names import Names

_NAMED = 20
"""How many policies of a kind the text names; the document names all."""


class PolicyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """From what the kernel has to the desired state.

    `policies` have rules that come, go or change; of kept sets, `members` come or go. `hooks` are the jumps to our
    chains that are missing. `problems` are the objects left out.
    """

    node: str
    policies: Names
    chains: Names
    sets: Names
    members: int
    hooks: tuple[str, ...] = ()
    problems: tuple[InputError, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.policies.count or self.chains.count or self.sets.count or self.hooks)

    def text(self) -> str:
        """For the terminal."""
        if self.changes:
            lines = [f"{self.node}: policies", *(f"  {line}" for line in self._details())]
        else:
            lines = [f"{self.node}: nothing to do, the kernel has these policies"]
        return "\n".join([*lines, *(f"left out: {problem}" for problem in self.problems)])

    def document(self) -> dict[str, Any]:
        """For programs; keys are camelCase and stable."""
        found: dict[str, Any] = msgspec.to_builtins(
            {"policies": self.policies, "chains": self.chains, "sets": self.sets, "hooks": self.hooks}
        )
        return {
            "apiVersion": "birdctl.io/v1alpha1",
            "kind": "PolicyPlan",
            "node": self.node,
            "changes": self.changes,
            **found,
            "members": self.members,
            "problems": [str(problem) for problem in self.problems],
        }

    def forms(self) -> dict[str, Any]:
        """Both of them, as the agent sends them."""
        return {"text": self.text(), "document": self.document()}

    def _details(self) -> Iterator[str]:
        for word, names in (
            ("enforced from now on", self.policies.added),
            ("no longer enforced", self.policies.removed),
            ("changed", self.policies.changed),
        ):
            if names:
                yield f"{word}: {some(names, _NAMED)}"
        for what, each in (("chains", self.chains), ("sets", self.sets)):
            if each.count:
                yield f"{what}: {len(each.added)} new, {len(each.changed)} changed, {len(each.removed)} removed"
        if self.members:
            yield f"addresses that come to sets or go: {self.members}"
        if self.hooks:
            yield f"to be hooked in: {', '.join(self.hooks)}"


def make_policy_plan(
    node: str, actual: PolicyState, desired: PolicyState, problems: tuple[InputError, ...] = ()
) -> PolicyPlan:
    """The plan to make the kernel's state the desired one."""
    kept = [(actual.sets[name], each) for name, each in desired.sets.items() if name in actual.sets]
    return PolicyPlan(
        node=node,
        policies=_difference(_by_policy(actual), _by_policy(desired)),
        chains=_difference(_chains(actual), _chains(desired)),
        sets=_difference(_members(actual), _members(desired)),
        members=sum(len(one.entries ^ other.entries) for one, other in kept if other.timeout is None),
        hooks=tuple(_hooks(actual, desired)),
        problems=problems,
    )


def _difference(actual: dict[str, object], desired: dict[str, object]) -> Names:
    both = actual.keys() & desired.keys()
    return Names(
        added=tuple(sorted(desired.keys() - actual.keys())),
        removed=tuple(sorted(actual.keys() - desired.keys())),
        changed=tuple(sorted(name for name in both if actual[name] != desired[name])),
    )


def _read_back(rule: Rule) -> Rule:
    """As the kernel tells it: a comment has no room for every policy's name."""
    return iptables_text.parse(iptables_text.rule(rule, Owner.POLICIES))


def _rules(table: Table) -> Iterator[tuple[str, Rule]]:
    return ((chain.name, _read_back(rule)) for chain in table.chains.values() for rule in chain.rules)


def _by_policy(state: PolicyState) -> dict[str, object]:
    """The rules of each policy, wherever they stand."""
    found: dict[str, set[Rule]] = {}
    for table in state.tables.values():
        for _, rule in _rules(table):
            for policy in rule.origins:
                found.setdefault(policy, set()).add(rule)
    return dict(found)


def _chains(state: PolicyState) -> dict[str, object]:
    found: dict[str, list[Rule]] = {
        f"{family} {name}": [] for family, table in state.tables.items() for name in table.chains
    }
    for family, table in state.tables.items():
        for name, rule in _rules(table):
            found[f"{family} {name}"].append(rule)
    return dict(found)


def _members(state: PolicyState) -> dict[str, object]:
    """What a set holds; of those that fill themselves, only that they are there."""
    return {name: _content(each) for name, each in state.sets.items()}


def _content(each: IpSet) -> object:
    return each.type, None if each.timeout is not None else each.entries


def _hooks(actual: PolicyState, desired: PolicyState) -> Iterator[str]:
    for family, table in desired.tables.items():
        there = actual.tables[family].hooks if family in actual.tables else ()
        for hook, rule in table.hooks:
            if (hook, _read_back(rule)) not in there:
                yield f"{family} {hook}"
