"""Policies' loop: keeps the kernel's sets and chains at what the policies and pods say.

A pass costs what changed: the compiler takes dirty keys, the backend writes the difference to what it wrote last. The
resync, and every pass after a failure, first reads what is in the kernel.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.observe.counters import Counters
from birdctl.observe.state import Policies
from birdctl.policies.apply import ApplyResult, PolicyBackend
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.model import PolicyState
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.loop import Loop
from birdctl.settings import Settings

log = logging.getLogger(__name__)


class PreparedPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel should hold; `problems` are the objects left out."""

    desired: PolicyState
    problems: tuple[InputError, ...]


class PolicyReconciler:
    """Passes over one cluster, for one node and the kernel it runs on."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._cluster = cluster
        self._dirty: set[Key] = set()
        self.backend = PolicyBackend()
        self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """Other settings: the next pass compiles everything."""
        self._compiler = PolicyCompiler(settings.node, settings.policies())
        self.forget()

    def forget(self) -> None:
        """The next pass compiles and reads back everything."""
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
        self._everything = False
        problems = {str(each): each for each in (*self._cluster.errors.values(), *compiled.problems)}
        return PreparedPolicies(desired=compiled.state, problems=tuple(problems.values()))

    def carry_out(self, prepared: PreparedPolicies, *, verify: bool) -> ApplyResult:
        """Makes the kernel's policies those; with `verify` looks first what is there. Raises BackendError."""
        return self.backend.apply(prepared.desired, verify=verify)


class PolicyLoop(Loop[Policies]):
    """What it made in the kernel stays, and goes on deciding, when it ends."""

    name = "policies"

    def __init__(self, settings: Settings, inbox: Inbox, counters: Counters, after_turn: Callable[[], None]) -> None:
        super().__init__(settings, inbox, counters.policies, Policies(), after_turn)
        self._reconciler = PolicyReconciler(settings, self._cluster)
        self._verify_at = 0.0

    def _take_dirty(self) -> bool:
        return self._reconciler.take_in()

    def _forget(self) -> None:
        self._reconciler.forget()
        self._verify_at = 0.0

    def _adopt(self, settings: Settings) -> None:
        super()._adopt(settings)
        self._reconciler.adopt(settings)

    def _plan(self) -> Mapping[str, Any]:
        return {}

    def _close(self) -> None:
        self._reconciler.backend.close()

    @property
    def _resync_period(self) -> float:
        return max(0.0, self._verify_at - time.monotonic())

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        self._tell_problems(prepared.problems)
        self._note(dirty=False, pending=1)
        verify = started >= self._verify_at
        result = self._reconciler.carry_out(prepared, verify=verify)
        if verify:
            self._verify_at = started + self._settings.iptables_sync_period
        changed = result != ApplyResult()
        if changed:
            log.log(logging.INFO if result.chains else logging.DEBUG, "policies: %s", _told(result))
        self._succeeded(started, changed=changed, desired=prepared.desired)


def _told(result: ApplyResult) -> str:
    return f"{result.chains} chains, {result.sets} sets and {result.members} members of sets changed"
