"""The pods of one node, grouped by what is said to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from birdctl.addresses import Address, Family
from birdctl.addresses import family as family_of
from birdctl.policies.compile.block import Classes
from birdctl.policies.compile.body import Body, body
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.peers import Endpoint, Peer
from birdctl.policies.compile.plan import Plan, plan
from birdctl.policies.compile.reasons import Refusers
from birdctl.policies.compile.rules import Policy
from birdctl.policies.model import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammedPolicy:
    """A policy that selects pods of this node: their keys, and the directions it speaks of."""

    ref: str
    directions: tuple[Direction, ...]
    staged: bool
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is said to this node's pods in one direction and family.

    `refusers` are the combinations of NetworkPolicies that pods are closed by, and these.
    """

    classes: Classes
    refusers: Refusers

    @property
    def open(self) -> list[Address]:
        """The pods that nothing restricts."""
        return [pod for body, pods in self.classes if body.is_open for pod in pods]

    @property
    def restricted(self) -> list[Address]:
        """All others."""
        return [pod for body, pods in self.classes if not body.is_open for pod in pods]


_Told = tuple[Family, Direction, Plan]
_Plans = tuple[tuple[Address, ...], Mapping[Direction, Plan]]
_NOTHING: _Plans = ((), {})


class LocalPods:
    """Each pod with its plans, and the bodies these make."""

    def __init__(self, fixed: Fixed, families: tuple[Family, ...]) -> None:
        self._fixed = fixed
        self._families = families
        self._told: dict[str, _Plans] = {}
        self._classes: dict[_Told, tuple[Body, set[Address]]] = {}
        self._selected: dict[str, tuple[Policy, ...]] = {}
        self.programmed: tuple[ProgrammedPolicy, ...] = ()

    def put(self, pods: Mapping[str, tuple[Endpoint | None, tuple[Policy, ...]]]) -> bool:
        """These pods, each with the policies that select it now; None is gone. Whether that changes any rules.

        All that is old goes before anything comes, as a pod may have another's address now.
        """
        told = {key: self._tell(pod, policies) for key, (pod, policies) in pods.items()}
        changed = {key for key, after in told.items() if self._told.get(key) != after}
        for key in changed:
            self._remove(*self._told.pop(key, _NOTHING))
        for key in changed:
            if after := told[key]:
                self._told[key] = after
                self._add(*after)
        self._select(pods)
        return bool(changed)

    def _tell(self, pod: Endpoint | None, policies: tuple[Policy, ...]) -> _Plans | None:
        if pod is None:
            return None
        return pod.addresses, {direction: plan(pod, policies, direction) for direction in Direction}

    def _select(self, pods: Mapping[str, tuple[Endpoint | None, tuple[Policy, ...]]]) -> None:
        selected = {key: policies for key, (_, policies) in pods.items()}
        if any(self._selected.get(key, ()) != policies for key, policies in selected.items()):
            self._selected = {key: policies for key, policies in (self._selected | selected).items() if policies}
            self.programmed = self._programmed()

    def _programmed(self) -> tuple[ProgrammedPolicy, ...]:
        """The policies that select pods, sorted."""
        found: dict[str, tuple[Policy, list[str]]] = {}
        for key, policies in sorted(self._selected.items()):
            for policy in policies:
                found.setdefault(policy.ref, (policy, []))[1].append(key)
        return tuple(
            ProgrammedPolicy(ref=ref, directions=tuple(policy.rules), staged=policy.staged, pods=tuple(pods))
            for ref, (policy, pods) in sorted(found.items())
        )

    def peers(self) -> dict[str, tuple[Family, Peer]]:
        """By the names of the sets that the rules use."""
        return {
            name: (family, peer)
            for (family, _, _), (its_body, _) in self._classes.items()
            for name, peer in its_body.peers.items()
        }

    def sides(self, family: Family) -> Mapping[Direction, Side]:
        """What is said to the pods of one family."""
        return {direction: self._side(family, direction) for direction in Direction}

    def _side(self, family: Family, direction: Direction) -> Side:
        classes: dict[str, tuple[Body, list[Address]]] = {}
        refusers: dict[tuple[str, ...], list[Address]] = {}
        for (its_family, its_direction, its_plan), (its_body, pods) in self._classes.items():
            if (its_family, its_direction) == (family, direction):
                classes.setdefault(its_body.chain.name, (its_body, []))[1].extend(pods)
                if its_plan.closed:
                    refusers.setdefault(its_plan.policies, []).extend(pods)
        return Side(
            classes=tuple((its_body, tuple(sorted(pods))) for _, (its_body, pods) in sorted(classes.items())),
            refusers={policies: tuple(sorted(pods)) for policies, pods in sorted(refusers.items())},
        )

    def _tellings(
        self, addresses: tuple[Address, ...], plans: Mapping[Direction, Plan]
    ) -> Iterable[tuple[_Told, Address]]:
        for address in addresses:
            if (family := family_of(address)) in self._families:
                for direction, its_plan in plans.items():
                    yield (family, direction, its_plan), address

    def _add(self, addresses: tuple[Address, ...], plans: Mapping[Direction, Plan]) -> None:
        for told, address in self._tellings(addresses, plans):
            if told not in self._classes:
                family, direction, its_plan = told
                self._classes[told] = body(its_plan, direction, family, self._fixed), set()
            self._classes[told][1].add(address)

    def _remove(self, addresses: tuple[Address, ...], plans: Mapping[Direction, Plan]) -> None:
        for told, address in self._tellings(addresses, plans):
            pods = self._classes[told][1]
            pods.discard(address)
            if not pods:
                del self._classes[told]
