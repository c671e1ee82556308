"""Services' loop: keeps virtual servers, VIPs and rules at what Services and endpoints say.

A pass costs what changed: the compiler takes dirty keys, the backend writes the difference to what it wrote last. The
resync, and every pass after a failure, first reads what is on the node. What routing announces is withdrawn before it
falls, and announced when it stands.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from birdctl.addresses import Address
from birdctl.cluster.events import Event
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import BirdctlError, InputError, NotProgrammed, Unavailable
from birdctl.netfilter import sysctl
from birdctl.observe.counters import Counters
from birdctl.observe.state import Services
from birdctl.observe.traffic import ServiceTraffic, TrafficMeter
from birdctl.reconcile import apiservers
from birdctl.reconcile.announcing import Announcing
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.kernel_loop import KernelLoop
from birdctl.reconcile.lasting import Lasting
from birdctl.reconcile.leaving import Leaving
from birdctl.reconcile.service_plan import ServicePlan, make_service_plan
from birdctl.reconcile.standing import standing
from birdctl.reconcile.triggers import Triggers
from birdctl.services.addresswatch import AddressWatch
from birdctl.services.apply import ApplyResult, ServiceBackend
from birdctl.services.compile import ServiceCompiler, ServicePart
from birdctl.services.healthchecks import HealthCheckServer
from birdctl.services.model import HealthCheck, ServerKey, ServiceState
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.observe.service_objects import ServiceObjects

log = logging.getLogger(__name__)

UNABLE_SECONDS = 10.0
"""How long routing waits for a proxy that does not come to its first pass."""


class PreparedServices(msgspec.Struct, frozen=True, kw_only=True):
    """What the node should hold. `touched` may differ from the last pass, None: everything may."""

    desired: ServiceState
    touched: frozenset[ServerKey] | None
    parts: Mapping[str, ServicePart]
    grace: Mapping[Address, float]
    problems: tuple[InputError, ...]
    orphans: tuple[InputError, ...]


class ServiceReconciler:
    """Passes over one cluster, for one node and the kernel it runs on. `watch` knows the node's addresses."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._cluster = cluster
        self._dirty: set[Key] = set()
        self._sysctls_record = sysctl.record_in(settings.runtime_dir)
        self.watch = AddressWatch()
        self.adopt(settings)

    @cached_property
    def backend(self) -> ServiceBackend:
        """Raises Unavailable on a node that cannot have services."""
        return ServiceBackend(self._options, self._sysctls_record)

    def adopt(self, settings: Settings) -> None:
        """Other settings: the next pass compiles everything."""
        self._node = settings.node
        self._options = settings.services()
        self._compiler = ServiceCompiler(settings.node, self._options)
        if "backend" in self.__dict__:
            self.backend.adopt(self._options)
        self.forget()

    def forget(self) -> None:
        """The next pass compiles everything."""
        self._everything = True

    def take_in(self) -> frozenset[Key]:
        """What changed in the cluster since the last call."""
        news = self._cluster.take_dirty()
        self._dirty |= news
        return news

    def prepare(self) -> PreparedServices:
        """What the services of the moment take, with nothing written. Raises BackendError."""
        dirty = None if self._everything else frozenset(self._dirty)
        self._everything = True  # a compiler that failed half way starts over
        compiled = self._compiler.compile(self._cluster, local=self.watch.addresses(), dirty=dirty)
        self._dirty.clear()
        self._everything = False
        problems = {str(each): each for each in (*self._cluster.errors.values(), *compiled.problems)}
        return PreparedServices(
            desired=compiled.state,
            touched=compiled.touched,
            parts=compiled.services,
            grace=compiled.grace,
            problems=tuple(problems.values()),
            orphans=compiled.orphans,
        )

    def carry_out(self, prepared: PreparedServices, *, verify: bool = True) -> ApplyResult:
        """Makes the node's services those; with `verify` looks first what is there. Raises BackendError."""
        return self.backend.apply(prepared.desired, grace=prepared.grace, touched=prepared.touched, verify=verify)

    def plan(self, prepared: PreparedServices) -> ServicePlan:
        """From what is on the node now. Raises Unavailable, BackendError."""
        return make_service_plan(self._node, self.backend.read(), prepared.desired, prepared.problems)

    def close(self) -> None:
        self.watch.close()
        if "backend" in self.__dict__:
            self.backend.close()


class ServiceLoop(KernelLoop[Services, ServiceReconciler]):
    """What it made on the node stays, and goes on serving, when it ends.

    `tell` takes what routing may announce, `announced` says whether it announces an address.
    """

    name = "services"

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        counters: Counters,
        after_turn: Callable[[], None],
        *,
        tell: Callable[[Event], None],
        announced: Callable[[Address], bool],
    ) -> None:
        super().__init__(settings, inbox, counters.services, Services(), after_turn, reconciler=ServiceReconciler)
        self._counters = counters
        self._tell = tell
        self._announcing = Announcing(settings.announce_hold_down)
        self._leaving = Leaving(announced)
        self._triggers = Triggers()
        self._lasting = Lasting()
        self._health_checks = HealthCheckServer()
        self._meter = TrafficMeter()
        self._told = False
        self._deviations: tuple[InputError, ...] = ()
        self._started = time.monotonic()

    def traffic(self) -> tuple[ServiceTraffic, ...]:
        """What went through each service. For other threads."""
        desired = self.state.desired
        return self._meter.read(desired.virtual_servers) if desired else ()

    def describe(self, service: str, problems: Iterable[InputError]) -> tuple[ServiceObjects, Mapping[str, float]]:
        """What the last pass made of a service, and for how many seconds services may not be announced. For other
        threads. Raises InputError when there is no such service, Unavailable before the first pass.
        """
        from birdctl.observe.service_objects import describe  # noqa: PLC0415 - only who asks pays for it

        def found(cluster: Cluster) -> tuple[ServiceObjects, Mapping[str, float]]:
            state, settings = self.state, self._settings
            if state.desired is None:
                raise Unavailable(f"services on {settings.node} had no pass yet: {state.error or 'wait a moment'}")
            objects = describe(
                cluster,
                service,
                node=settings.node,
                options=settings.services(),
                part=state.parts.get(service),
                state=state.desired,
                problems=problems,
            )
            return objects, self._announcing.held_down(time.monotonic())

        return self.ask(found)

    def _take_dirty(self) -> bool:
        news = self._reconciler.take_in()
        self._triggers.take(self._cluster, news, first=self.state.last_sync is None)
        apiservers.record(self._cluster, news, self._settings.runtime_dir)
        return bool(news)

    def _adopt(self, settings: Settings) -> None:
        super()._adopt(settings)
        self._announcing.hold_down = settings.announce_hold_down

    def _plan(self) -> Mapping[str, Any]:
        return self._reconciler.plan(self._reconciler.prepare()).forms()

    def _close(self) -> None:
        self._health_checks.close()
        self._meter.close()
        self._reconciler.close()

    def _filenos(self) -> list[int]:
        return [self._reconciler.watch.fileno()]

    def _look(self, *, now: bool) -> None:
        """The node has other addresses, or routing has withdrawn what may fall then."""
        if (now and self._reconciler.watch.has_news()) or (self._leaving and self._leaving.is_over):
            self._due = 0.0

    def _reconcile(self, started: float) -> None:
        prepared = self._reconciler.prepare()
        verify = started >= self._verify_at
        told = self._lasting.without_new(prepared.problems, prepared.orphans, started)
        problems = (*told, *self._listen(prepared.desired.health_checks))
        self._tell_problems((*problems, *self._deviations))
        self._note(dirty=False, pending=1)
        if not prepared.desired.virtual_servers:
            self._reconciler.plan(prepared).check()
        there = self._reconciler.backend.standing
        services = None if verify else _owners(prepared, there)
        self._withdraw(prepared, services, there, started)
        desired, touched = self._leaving.hold(prepared.desired, there, prepared.touched, started)
        result = self._reconciler.carry_out(
            msgspec.structs.replace(prepared, desired=desired, touched=touched), verify=verify
        )
        if verify:
            self._deviations = tuple(InputError(f"Node {self._settings.node}", "", each) for each in result.deviations)
            self._tell_problems((*problems, *self._deviations))
        self._verify_after(self._settings.ipvs_sync_period, started, verified=verify, refused=bool(result.refusals))
        self._announce(prepared, services, time.monotonic())
        for seconds in self._triggers.programmed(time.time()):
            self._counters.programming_seconds.observe(seconds)
        rechecks = (self._leaving.recheck_at, self._announcing.recheck_at, self._lasting.recheck_at)
        self._recheck = min(result.again_at or math.inf, *rechecks)
        self._succeeded(
            started,
            changed=result.changed,
            desired=prepared.desired,
            parts=prepared.parts,
            unprogrammed=self._tell_refused(tuple(self._unprogrammed(result))),
            leaving=len(self._leaving),
        )

    def _listen(self, checks: Mapping[int, HealthCheck]) -> Iterator[InputError]:
        """Answers health checks from now on; those ports that cannot be had."""
        for port, reason in self._health_checks.update(checks, healthy=True).items():
            problem = f"port {port} cannot be listened on: {reason}"
            yield InputError(f"Service {checks[port].service}", "spec.healthCheckNodePort", problem)

    def _failed(self, error: BirdctlError) -> None:
        super()._failed(error)
        self._reconciler.forget()
        self._health_checks.update(self._answered(), healthy=False)
        if not self._told:
            self._recheck = self._started + UNABLE_SECONDS
            if time.monotonic() > self._recheck:
                self._begin()  # nothing stands, as far as anybody knows
                self._recheck = math.inf

    def _answered(self) -> Mapping[int, HealthCheck]:
        return self.state.desired.health_checks if self.state.desired else {}

    def _tell_refused(self, found: Collection[NotProgrammed]) -> tuple[NotProgrammed, ...]:
        """One line in the log for each virtual server or VIP that is not as desired any more, or is again."""
        before = {str(each): each for each in self.state.unprogrammed}
        now = {str(each): each for each in found}
        for text in now.keys() - before.keys():
            log.error("%s", text)
        for text in before.keys() - now.keys():
            log.info("no longer so: %s", text)
        return tuple(now[text] for text in sorted(now))

    def _unprogrammed(self, result: ApplyResult) -> Iterator[NotProgrammed]:
        node = self._settings.node
        for service, problem in result.refusals:
            origin = f"Service {service}" if service else f"Node {node}"
            yield NotProgrammed(origin, "", f"the kernel of {node} does not take it: {problem}")

    # What routing is told.

    def _withdraw(
        self, prepared: PreparedServices, services: Collection[str] | None, there: ServiceState, now: float
    ) -> None:
        """Before it falls."""
        for service in self._concerned(prepared, services) if self._told else ():
            part = prepared.parts.get(service)
            stays = standing(part, there) & standing(part, prepared.desired)
            if event := self._announcing.withdraw(service, stays, now):
                self._tell(event)

    def _announce(self, prepared: PreparedServices, services: Collection[str] | None, now: float) -> None:
        """Now that it stands, and what had to wait."""
        there = self._reconciler.backend.standing
        for service in {*self._concerned(prepared, services), *self._announcing.due(now)}:
            event = self._announcing.announce(service, standing(prepared.parts.get(service), there), now)
            if event and self._told:
                self._tell(event)
        if not self._told:
            self._begin()

    def _concerned(self, prepared: PreparedServices, services: Collection[str] | None) -> Collection[str]:
        return {*prepared.parts, *self._announcing.services} if services is None else services

    def _begin(self) -> None:
        self._told = True
        self._tell(self._announcing.everything())


def _owners(prepared: PreparedServices, there: ServiceState) -> frozenset[str] | None:
    """The services of what may differ from the last pass; None: all."""
    if prepared.touched is None:
        return None
    servers = (
        each.get(key) for key in prepared.touched for each in (there.virtual_servers, prepared.desired.virtual_servers)
    )
    return frozenset(each.owner.service for each in servers if each and each.owner)
