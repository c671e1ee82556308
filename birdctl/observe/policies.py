"""The policies at work on a node: what the agent compiled, joined with what the kernel's rules counted. Pure.

Rules are recognised by the digest in their comment; without the agent's word the comment's text has to do, which may
not have room for a long name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from birdctl.errors import BackendError
from birdctl.netfilter import iptables_text
from birdctl.netfilter.iptables_text import Saved
from birdctl.netfilter.model import Effect, Owner
from birdctl.observe.state import State
from birdctl.observe.views import Policy, PolicyType, RuleCounts, View
from birdctl.policies.compile import ProgrammedPolicy
from birdctl.policies.counters import Counter
from birdctl.policies.model import CHAIN_PREFIX, Direction, PolicyState

_CHAINS = {f"{CHAIN_PREFIX}IN": Direction.INGRESS, f"{CHAIN_PREFIX}EG": Direction.EGRESS}
"""What the chains of each direction begin with."""


class Programmed(View, frozen=True, kw_only=True):
    """One policy as the agent knows it; by direction the digests of its rules, and the packets and bytes they counted.

    `counts` is empty where nobody but the kernel counted.
    """

    kind: str
    name: str
    types: tuple[PolicyType, ...]
    namespace: str | None = None
    selected_pods: int | None = None
    staged: bool = False
    rules: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)


class ProgrammedList(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent answers to `policies`."""

    node: str
    items: tuple[Programmed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    """One rule in the kernel that is a policy's."""

    direction: Direction
    digest: str
    policies: tuple[str, ...]
    effect: Effect | None
    packets: int
    bytes: int


def reply(state: State, counters: Iterable[Counter]) -> Mapping[str, Any]:
    """A ProgrammedList, for JSON. Raises BackendError when the agent has no policies."""
    found = state.policies
    if found is None:
        raise BackendError(f"policies are not enforced on {state.node}: --run-firewall is off")
    items = programmed(found.programmed, found.desired, counters) if found.desired else ()
    answer: dict[str, Any] = msgspec.to_builtins(ProgrammedList(node=state.node, items=items))
    return answer


def programmed(
    policies: Iterable[ProgrammedPolicy], state: PolicyState, counters: Iterable[Counter]
) -> tuple[Programmed, ...]:
    """What was compiled, with the digests of its rules and what these counted."""
    totals: dict[tuple[str, str], list[Counter]] = {}
    for counter in counters:
        totals.setdefault((counter.policy, counter.direction), []).append(counter)
    digests: dict[tuple[str, str], dict[str, None]] = {}
    for table in state.tables.values():
        for chain in table.chains.values():
            direction = _direction(chain.name)
            for rule in chain.rules if direction else ():
                for policy in rule.origins:
                    digests.setdefault((policy, str(direction)), {})[iptables_text.digest(rule)] = None
    return tuple(
        _programmed(
            each.ref,
            {str(direction): tuple(digests.get((each.ref, direction), ())) for direction in each.directions},
            selected_pods=len(each.pods),
            staged=each.staged,
            counts={
                str(direction): _total(totals[each.ref, direction], each.staged)
                for direction in each.directions
                if (each.ref, direction) in totals
            },
        )
        for each in policies
    )


def _total(counters: Iterable[Counter | RuleCount], staged: bool) -> tuple[int, int]:
    """Packets and bytes; of a staged policy only what it would deny is worth counting."""
    telling = [each for each in counters if not staged or each.effect is Effect.WOULD_DENY]
    return sum(each.packets for each in telling), sum(each.bytes for each in telling)


def from_kernel(counts: Iterable[RuleCount]) -> tuple[Programmed, ...]:
    """What the rules' comments tell, for a node whose agent does not answer."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    staged: set[str] = set()
    for each in counts:
        staged.update(each.policies if each.effect is Effect.WOULD_DENY else ())
        for policy in each.policies:
            found.setdefault(policy, {}).setdefault(each.direction, {})[each.digest] = None
    return tuple(
        _programmed(
            ref,
            {direction: tuple(digests) for direction, digests in sorted(rules.items())},
            staged=ref in staged,
        )
        for ref, rules in sorted(found.items())
    )


def _programmed(
    ref: str,
    rules: dict[str, tuple[str, ...]],
    *,
    selected_pods: int | None = None,
    staged: bool = False,
    counts: dict[str, tuple[int, int]] | None = None,
) -> Programmed:
    kind, _, key = ref.partition(" ")
    namespace, _, name = key.rpartition("/")
    return Programmed(
        kind=kind,
        name=name,
        namespace=namespace or None,
        types=cast("tuple[PolicyType, ...]", tuple(rules)),
        selected_pods=selected_pods,
        staged=staged,
        rules=rules,
        counts=counts or {},
    )


def counted(tables: Iterable[Saved]) -> Iterator[RuleCount]:
    """Every rule that says whose it is. Raises BackendError for one that birdctl does not write."""
    for saved in tables:
        for name, lines in saved.chains.items():
            direction = _direction(name)
            for line in lines if direction else ():
                rule = iptables_text.parse(line.text)
                if direction and rule.origins:
                    yield RuleCount(
                        direction=direction,
                        digest=_digest(line.text),
                        policies=rule.origins,
                        effect=rule.effect,
                        packets=line.packets,
                        bytes=line.bytes,
                    )


def _digest(line: str) -> str:
    return line.partition(f'"{Owner.POLICIES.mark}')[2].partition(" ")[0]


def _direction(chain: str) -> Direction | None:
    return next((direction for prefix, direction in _CHAINS.items() if chain.startswith(prefix)), None)


def policies(node: str, known: Sequence[Programmed], counts: Iterable[RuleCount]) -> tuple[Policy, ...]:
    """One for each policy of `known`, ClusterNetworkPolicies first."""
    by_rule: dict[tuple[str, str], list[RuleCount]] = {}
    for each in counts:
        by_rule.setdefault((each.direction, each.digest), []).append(each)
    found = (_policy(node, each, by_rule) for each in known)
    return tuple(sorted(found, key=lambda each: (each.kind, each.namespace or "", each.name)))


def _policy(node: str, known: Programmed, by_rule: Mapping[tuple[str, str], Sequence[RuleCount]]) -> Policy:
    directions = {
        direction: _counts(
            [each for digest in digests for each in by_rule.get((direction, digest), ())],
            known.staged,
            known.counts.get(direction),
        )
        for direction, digests in known.rules.items()
    }
    return Policy(
        node=node,
        namespace=known.namespace,
        name=known.name,
        kind=known.kind,
        types=known.types,
        selected_pods=known.selected_pods,
        staged=known.staged,
        rules=sum(each.rules for each in directions.values()),
        packets=sum(each.packets for each in directions.values()),
        bytes=sum(each.bytes for each in directions.values()),
        directions=directions,
    )


def _counts(rules: Sequence[RuleCount], staged: bool, told: tuple[int, int] | None) -> RuleCounts:
    packets, size = told or _total(rules, staged)
    return RuleCounts(rules=len(rules), packets=packets, bytes=size)
