"""One pass: compile what is dirty, render, plan, commit, read back.

The agent makes one after another over a cluster that changes, `apply` and `plan` one over a cluster read once.
"""

from __future__ import annotations

import dataclasses
import time

import msgspec
from msgspec.structs import replace

from birdctl.cluster.store import Cluster, Key
from birdctl.reconcile import guards, rollback
from birdctl.reconcile.plan import Plan
from birdctl.routing import inventory as inventories
from birdctl.routing.bird import BirdSocket
from birdctl.routing.commit import BirdBackend, CommitResult
from birdctl.routing.compile import Compiled, RoutingCompiler
from birdctl.routing.compile.services import Considered
from birdctl.routing.impact import impact
from birdctl.routing.inventory import Inventory
from birdctl.routing.readback import established
from birdctl.routing.render import Rendered, render
from birdctl.routing.state import BirdStatus
from birdctl.settings import Settings

PROBATION_SECONDS = 1.0
"""How long sessions are watched that a change touches and that should stay up. Updates are on their way meanwhile."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what it takes to carry it out. `recheck_at`: when time alone changes the intent (seconds, epoch)."""

    plan: Plan
    rendered: Rendered
    inventory: Inventory
    recheck_at: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A pass that went through: BIRD was read back and runs `plan.desired`."""

    plan: Plan
    commit: CommitResult


class Reconciler:
    """Passes over one cluster, for one node and its BIRD.

    `only_programmed`: it announces of services what the cluster's ProgrammedServices have; else all of them stand.
    """

    def __init__(self, settings: Settings, cluster: Cluster, *, only_programmed: bool = False) -> None:
        self._cluster = cluster
        self._only_programmed = only_programmed
        self._dirty: set[Key] = set()
        self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """Other settings: the next pass compiles everything."""
        self._settings = settings
        options = dataclasses.replace(settings.routing(), only_programmed=self._only_programmed)
        self._compiler = RoutingCompiler(settings.node, options)
        self.backend = BirdBackend(
            settings.bird_socket, settings.bird_config, settings.runtime_dir, settings.commit_timeout
        )
        self.forget()

    def forget(self) -> None:
        """The next pass compiles everything."""
        self._version: tuple[int, ...] | None = None

    def take_in(self) -> bool:
        """Whether the cluster changed since the last call."""
        news = self._cluster.take_dirty()
        self._dirty |= news
        return bool(news)

    def decisions(self, service: str) -> tuple[Considered, ...]:
        """What becomes of each address of a service, and why. Raises InputError."""
        return self._compiler.decisions(self._cluster, service, now=time.time())

    def prepare(self) -> Prepared:
        """The plan, with nothing written. Raises InputError when the node's own object is unusable, Unavailable without
        BIRD.
        """
        status = self.backend.status()
        compiled = self._compile(status.version)
        rendered = render(compiled.config, self._settings.bird_templates)
        inventory = inventories.from_config(compiled.config, rendered.digest)
        plan = self._plan(status, compiled, rendered, inventory)
        return Prepared(plan=plan, rendered=rendered, inventory=inventory, recheck_at=compiled.recheck_at)

    def carry_out(self, prepared: Prepared, *, force: bool = False) -> Result:
        """Makes BIRD run what was prepared. Raises UnsafePlan unless forced, and what `BirdBackend.commit` raises."""
        plan = prepared.plan
        if not force:
            plan.check()
        losses = None if force else plan.interrupted
        probation = PROBATION_SECONDS if plan.impact and plan.impact.touched else 0.0
        commit = self.backend.commit(prepared.rendered, prepared.inventory, expected_losses=losses, probation=probation)
        rollback.forget(self._settings.runtime_dir)
        return Result(plan=plan, commit=commit)

    def _compile(self, version: tuple[int, ...]) -> Compiled:
        everything = version != self._version
        self._version = None  # a compiler that failed half way starts over
        compiled = self._compiler.compile(
            self._cluster, version=version, now=time.time(), dirty=None if everything else frozenset(self._dirty)
        )
        self._dirty.clear()
        self._version = version
        if not compiled.usable:
            raise compiled.problems[0]
        return compiled

    def _plan(self, status: BirdStatus, compiled: Compiled, rendered: Rendered, desired: Inventory) -> Plan:
        plan = Plan(
            node=compiled.config.node,
            running=status.digest,
            desired=rendered.digest,
            problems=tuple({str(each): each for each in (*self._cluster.errors.values(), *compiled.problems)}.values()),
        )
        if not plan.changes:
            return plan
        known = inventories.read(self._settings.runtime_dir)
        running = known if known and known.digest == status.digest else None
        before = running.sessions if running else {}
        up = self._established()
        found = impact(self.backend.running_text(), rendered.text, status.version)
        return replace(
            plan,
            impact=found,
            names={name: each.peer for name, each in {**before, **desired.sessions}.items()},
            refusals=(
                *guards.foreign_sessions(status.digest, up),
                *self._rolled_back(rendered.digest),
                *guards.misconfigured(plan.problems, up & found.interrupted),
                *guards.refusals(running, desired, compiled.config, up),
            ),
        )

    def _rolled_back(self, desired: str) -> tuple[str, ...]:
        if rollback.rolled_back_from(self._settings.runtime_dir) != desired:
            return ()
        return (f"{desired} was rolled back by hand, and the objects say the same as then",)

    def _established(self) -> frozenset[str]:
        with BirdSocket(self._settings.bird_socket) as bird:
            return established(bird.stream("show protocols"))
