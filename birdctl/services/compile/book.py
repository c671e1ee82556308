"""All services together, kept from one compilation to the next: changing one costs the ports of that one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdctl.addresses import Address
from birdctl.cluster.objects import Pod
from birdctl.errors import InputError
from birdctl.services.compile.claims import Change, Claims
from birdctl.services.compile.members import Members
from birdctl.services.compile.part import ServicePart, unchanged
from birdctl.services.compile.placed import Placed
from birdctl.services.compile.surroundings import Surroundings
from birdctl.services.model import HealthCheck, Port, ServerKey, ServiceState


class ServiceBook:
    """Not thread-safe; owned by one compiler."""

    def __init__(self) -> None:
        self._parts: dict[str, ServicePart] = {}
        self._claims = Claims()
        self._placed = Placed()
        self._hairpin: Members[Port] = Members()
        self._health_checks: dict[int, dict[str, HealthCheck]] = {}
        self._health: Mapping[int, HealthCheck] = {}
        self._terminating: dict[str, Mapping[Address, str]] = {}
        self._problems: dict[str, tuple[InputError, ...]] = {}
        self.orphans: dict[str, tuple[InputError, ...]] = {}
        """What is wrong with slices of services that are not there."""

    @property
    def parts(self) -> Mapping[str, ServicePart]:
        return self._parts

    def update(self, parts: Mapping[str, ServicePart | None]) -> frozenset[ServerKey]:
        """Records what services are now, None for those that are no more. The keys whose virtual servers changed."""
        touched = self._placed.update(change for service, part in parts.items() for change in self._put(service, part))
        health = {number: checks[min(checks)] for number, checks in self._health_checks.items()}
        if health != self._health:
            self._health = health
        return touched

    def state(self, around: Surroundings) -> ServiceState:
        return ServiceState(
            virtual_servers=self._placed.virtual_servers,
            addresses=self._placed.addresses.frozen(),
            vip_ports=self._placed.vip_ports.frozen(),
            unserved=self._placed.unserved.frozen(),
            inside_only=self._placed.inside_only.frozen(),
            limited=self._placed.limited.frozen(),
            sources_allowed=self._placed.sources.frozen(),
            hairpin=self._hairpin.frozen(),
            direct_returns=self._placed.direct_returns,
            health_checks=self._health,
            pods=around.pods,
            local_pods=around.local_pods,
            sources=around.sources,
            node_addresses=around.node_addresses,
        )

    def problems(self) -> Iterator[InputError]:
        for problems in self._problems.values():
            yield from problems
        yield from self._claims.conflicts()
        for number, checks in self._health_checks.items():
            winner, *losers = sorted(checks)
            for service in losers:
                problem = f"{number} is Service {winner}'s already: not answered for this one"
                yield InputError(f"Service {service}", "spec.healthCheckNodePort", problem)

    def grace(self, pods: Mapping[str, Pod]) -> dict[Address, float]:
        """Seconds, by address of a terminating endpoint; the longest where several pods have one address."""
        found: dict[Address, float] = {}
        for terminating in self._terminating.values():
            for address, key in terminating.items():
                pod = pods.get(key)
                if pod:
                    found[address] = max(float(pod.grace_period_seconds), found.get(address, 0.0))
        return found

    def _put(self, service: str, part: ServicePart | None) -> Iterator[Change]:
        nothing = ServicePart(service=service)
        before = self._parts.pop(service, nothing)
        after = unchanged(before, part) if part else nothing
        if part:
            self._parts[service] = after
        self._note(service, after)
        if before.hairpin is not after.hairpin:
            self._hairpin.replace(before.hairpin, after.hairpin)
        for number in before.health_checks.keys() | after.health_checks.keys():
            self._check(number, service, after.health_checks.get(number))
        yield from self._claims.put(before, after)

    def _note(self, service: str, part: ServicePart) -> None:
        """What few services have."""
        self._terminating.pop(service, None)
        self._problems.pop(service, None)
        self.orphans.pop(service, None)
        if part.terminating:
            self._terminating[service] = part.terminating
        if part.problems:
            self._problems[service] = part.problems
        if part.is_missing:
            self.orphans[service] = part.problems

    def _check(self, number: int, service: str, check: HealthCheck | None) -> None:
        checks = self._health_checks.setdefault(number, {})
        checks.pop(service, None)
        if check:
            checks[service] = check
        if not checks:
            del self._health_checks[number]
