"""Policies' loop: keeps the kernel's sets and chains at what the policies and pods say.

A pass costs what changed: the compiler takes dirty keys, the backend writes the difference to what it wrote last. The
resync, and every pass after a failure, first reads what is in the kernel. Connections that have become forbidden are
cut after the pass, at once when it is quiet and once a second while objects keep changing, for that needs a look at all
of the kernel's connections.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import msgspec

from birdctl.addresses import Address, Family
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import BackendError, InputError, NotProgrammed, Unavailable
from birdctl.netfilter import sysctl
from birdctl.observe.counters import Counters
from birdctl.observe.state import Policies
from birdctl.policies import bridges
from birdctl.policies.apply import ApplyResult, PolicyBackend
from birdctl.policies.compile import PolicyCompiler, ProgrammedPolicy
from birdctl.policies.counters import Counter
from birdctl.policies.model import PolicyState
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.kernel_loop import KernelLoop
from birdctl.reconcile.policy_plan import PolicyPlan, make_policy_plan
from birdctl.settings import Settings

log = logging.getLogger(__name__)

BETWEEN_CUTS_SECONDS = 1.0


class PreparedPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel should hold, and the policies in it; `problems` are the objects left out."""

    desired: PolicyState
    programmed: tuple[ProgrammedPolicy, ...]
    problems: tuple[InputError, ...]


class PolicyReconciler:
    """Passes over one cluster, for one node and the kernel it runs on."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._cluster = cluster
        self._dirty: set[Key] = set()
        self._gone: set[Address] = set()
        self.adopt(settings)

    @cached_property
    def backend(self) -> PolicyBackend:
        """Raises Unavailable on a node that cannot have policies."""
        return PolicyBackend()

    def adopt(self, settings: Settings) -> None:
        """Other settings: the next pass compiles everything."""
        self._node = settings.node
        self._compiler = PolicyCompiler(settings.node, settings.policies())
        self.forget()

    def forget(self) -> None:
        """The next pass compiles everything."""
        self._everything = True

    def take_in(self) -> bool:
        """Whether the cluster changed since the last call."""
        news = self._cluster.take_dirty()
        self._dirty |= news
        return bool(news)

    def prepare(self) -> PreparedPolicies:
        """What the policies of the moment take, with nothing written."""
        dirty = None if self._everything else frozenset(self._dirty)
        self._everything = True  # a compiler that failed half way starts over
        compiled = self._compiler.compile(self._cluster, dirty=dirty)
        self._dirty.clear()
        self._gone |= compiled.gone
        self._everything = False
        problems = {str(each): each for each in (*self._cluster.errors.values(), *compiled.problems)}
        return PreparedPolicies(desired=compiled.state, programmed=compiled.policies, problems=tuple(problems.values()))

    def carry_out(self, prepared: PreparedPolicies, *, verify: bool = True) -> ApplyResult:
        """Makes the kernel's policies those; with `verify` looks first what is there. Raises BackendError."""
        return self.backend.apply(prepared.desired, gone=self._gone, verify=verify)

    def cut(self, addresses: frozenset[Address] | None) -> int:
        """Ends connections of these addresses (None: of all) that are forbidden now, and those of pods that are gone.

        Returns how many. Raises BackendError.
        """
        number = self.backend.cut(addresses, self._gone)
        self._gone.clear()
        return number

    def plan(self, prepared: PreparedPolicies) -> PolicyPlan:
        """From what is in the kernel now. Raises Unavailable, BackendError."""
        return make_policy_plan(self._node, self.backend.read(), prepared.desired, prepared.problems)

    def close(self) -> None:
        if "backend" in self.__dict__:
            self.backend.close()


class PolicyLoop(KernelLoop[Policies, PolicyReconciler]):
    """What it made in the kernel stays, and goes on deciding, when it ends."""

    name = "policies"

    def __init__(self, settings: Settings, inbox: Inbox, counters: Counters, after_turn: Callable[[], None]) -> None:
        super().__init__(settings, inbox, counters.policies, Policies(), after_turn, reconciler=PolicyReconciler)
        self._touched: frozenset[Address] | None = frozenset()
        self._cut_at = math.inf
        self._last_cut = 0.0
        self._tried = True
        self._counted: tuple[Counter, ...] = ()
        self._bypassed: tuple[InputError, ...] = ()

    def counters(self) -> tuple[Counter, ...]:
        """What passed the rules of each policy, never less than before. For other threads: the loop reads it."""
        try:
            return self.ask(lambda _: self._count())
        except Unavailable:
            return self._counted

    def _count(self) -> tuple[Counter, ...]:
        try:
            self._counted = self._reconciler.backend.counters()
        except BackendError as error:
            log.warning("the rules cannot be counted: %s", error)
        return self._counted

    def _take_dirty(self) -> bool:
        return self._reconciler.take_in()

    def _plan(self) -> Mapping[str, Any]:
        return self._reconciler.plan(self._reconciler.prepare()).forms()

    def _close(self) -> None:
        self._reconciler.close()

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        verify = started >= self._verify_at
        if verify:
            self._bypassed = tuple(self._bypasses())
        self._tell_problems((*self._bypassed, *prepared.problems))
        self._note(dirty=False, pending=1)
        result = self._reconciler.carry_out(prepared, verify=verify)
        self._verify_after(self._settings.iptables_sync_period, started, verified=verify, refused=bool(result.refused))
        self._touch(result.touched)
        self._succeeded(
            started,
            changed=prepared.desired != self.state.desired,
            desired=prepared.desired,
            programmed=prepared.programmed,
            unprogrammed=self._tell_refused(prepared, result.refused),
        )

    def _bypasses(self) -> Iterator[InputError]:
        """What leads past all rules, and cannot be closed from here."""
        enabled = {Family.IPV4: self._settings.enable_ipv4, Family.IPV6: self._settings.enable_ipv6}
        names = bridges.with_ports()
        wanted = bridges.settings((family for family in Family if enabled[family]), names)
        left = sysctl.apply(wanted, sysctl.record_in(self._settings.runtime_dir))
        for each in left if names else ():
            yield NotProgrammed(f"Node {self._settings.node}", "", f"{each.found} (on the node: {each.fix})")

    def _tell_refused(self, prepared: PreparedPolicies, refused: Mapping[str, str]) -> tuple[InputError, ...]:
        """One line in the log for each policy that is not in force any more, or again."""
        before = {each.origin: each for each in self.state.unprogrammed}
        staged = {each.ref for each in prepared.programmed if each.staged}
        found = (self._unprogrammed(policy, why, counts=policy in staged) for policy, why in refused.items())
        now = {each.origin: each for each in found}
        for origin in now.keys() - before.keys():
            log.error("%s", now[origin])
        for origin in before.keys() - now.keys():
            log.info("%s: in force again", origin)
        return tuple(now[origin] for origin in sorted(now))

    def _unprogrammed(self, policy: str, why: str, *, counts: bool) -> NotProgrammed:
        """`policy` "" is what belongs to none; one that only counts closes nothing."""
        node = self._settings.node
        if not policy:
            return NotProgrammed(f"Node {node}", "", f"done without, as the kernel does not take it: {why}")
        instead = "so it counts nothing" if counts else "its pods are closed"
        return NotProgrammed(policy, "", f"the kernel of {node} does not take it, {instead}: {why}")

    # Connections.

    def _touch(self, addresses: frozenset[Address] | None) -> None:
        """Has connections of these addresses judged soon; None is all."""
        self._touched = None if addresses is None or self._touched is None else self._touched | addresses
        if self._touched is None or self._touched:
            self._cut_at = min(self._cut_at, max(time.monotonic(), self._last_cut + BETWEEN_CUTS_SECONDS))
            self._tried = False
            self._note(uncut=True)

    @property
    def _look_at(self) -> float:
        return 0.0 if self._requests and not self._tried else self._cut_at

    def _look(self, *, now: bool) -> None:
        """Cuts when it is time, or when somebody waits for everything to be as desired."""
        if self._cut_at == math.inf or (not now and time.monotonic() < self._cut_at):
            return
        self._last_cut = time.monotonic()
        self._tried = True
        try:
            number = self._reconciler.cut(self._touched)
        except BackendError as error:
            log.warning("connections that are forbidden now may live on: %s", error)
            self._cut_at = self._last_cut + BETWEEN_CUTS_SECONDS
            return
        if number:
            log.info("%d connections cut that are forbidden now", number)
        self._touched = frozenset()
        self._cut_at = math.inf
        self._note(uncut=False)
