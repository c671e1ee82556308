"""What the agent knows of itself: frozen values that its loops replace and every other thread reads.

Of each domain:

converged   everything the source said is compiled, and what was read back from the node is the result
healthy     routing: BIRD answers, is not recovering from a restart, and enough sessions carry all their routes
            policies, services: none is missing from the kernel
ready       healthy, and the first complete sync was read back
alive       the domain's loop turned lately

The node is what all of its domains are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from birdctl.errors import InputError
from birdctl.observe.sight import Sight
from birdctl.routing.inventory import Inventory

if TYPE_CHECKING:
    from birdctl.addresses import Family
    from birdctl.allocation.allocate import Usage
    from birdctl.observe.traffic import ServiceTraffic
    from birdctl.policies.compile import ProgrammedPolicy
    from birdctl.policies.counters import Counter
    from birdctl.policies.model import PolicyState
    from birdctl.services.compile import ServicePart
    from birdctl.services.model import ServiceState


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one domain is. `pending` is how many changes a pass found and did not apply; times of day in seconds
    since the epoch, `heartbeat` on the monotonic clock, `patience` in seconds.
    """

    synced: bool = False
    dirty: bool = True
    pending: int = 0
    error: str = ""
    refused: bool = False
    problems: tuple[InputError, ...] = ()
    generation: int = 0
    last_sync: float | None = None
    last_sync_seconds: float | None = None
    heartbeat: float = msgspec.field(default_factory=time.monotonic)
    patience: float = 60.0

    @property
    def trouble(self) -> str:
        """Why the node is not as desired; empty when nothing is wrong."""
        return self.error

    @property
    def converged(self) -> bool:
        return self.synced and not self.dirty and not self.error and self.last_sync is not None

    @property
    def healthy(self) -> bool:
        return not self.error

    @property
    def ready(self) -> bool:
        return self.healthy and self.last_sync is not None

    @property
    def alive(self) -> bool:
        return time.monotonic() - self.heartbeat < self.patience


class Routing(Progress, frozen=True, kw_only=True):
    """`running` and `desired` are digests."""

    inventory: Inventory
    bird_error: str = ""
    running: str | None = None
    desired: str | None = None
    sight: Sight | None = None
    quorum: float = 0.5

    @property
    def trouble(self) -> str:
        return self.error or self.bird_error

    @property
    def converged(self) -> bool:
        return (
            self.synced
            and not self.dirty
            and not self.error
            and self.desired is not None
            and self.desired == self.running
        )

    @property
    def configured(self) -> int:
        """Sessions of the configuration that was committed last."""
        return len(self.inventory.sessions)

    @property
    def enough_sessions(self) -> bool:
        """At least `quorum` of the configured sessions, and at least one if any is configured."""
        carrying = self.sight.carrying if self.sight else 0
        return carrying >= max(self.configured * self.quorum, min(self.configured, 1))

    @property
    def healthy(self) -> bool:
        seen = self.sight is not None and not self.sight.status.recovering
        return seen and not self.bird_error and self.enough_sessions


class Policies(Progress, frozen=True, kw_only=True):
    """`desired` is what the last pass made of the kernel, `programmed` the policies in it; `unprogrammed` are
    those that are not in force, and whose pods are closed. `uncut`: connections may live on that they forbid.
    """

    desired: PolicyState | None = None
    programmed: tuple[ProgrammedPolicy, ...] = ()
    unprogrammed: tuple[InputError, ...] = ()
    uncut: bool = False

    @property
    def converged(self) -> bool:
        return super().converged and not self.uncut

    @property
    def healthy(self) -> bool:
        return not self.error and not self.unprogrammed


class Services(Progress, frozen=True, kw_only=True):
    """`desired` is what the last pass made of the kernel, `parts` what each service became in it; `unprogrammed` are
    those of which the kernel refuses something. `leaving`: virtual servers that stay until routing has withdrawn them.
    """

    desired: ServiceState | None = None
    parts: Mapping[str, ServicePart] = {}
    unprogrammed: tuple[InputError, ...] = ()
    leaving: int = 0

    @property
    def converged(self) -> bool:
        return super().converged and not self.leaving

    @property
    def healthy(self) -> bool:
        return not self.error and not self.unprogrammed


class Addresses(Progress, frozen=True, kw_only=True):
    """Of the load balancer: who leads, and what the pools' usage is if that is this agent."""

    leads: bool = False
    holder: str = ""
    usage: Mapping[str, Mapping[Family, Usage]] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The agent; a domain that is switched off is None."""

    node: str
    source: str = ""
    source_error: str = ""
    routing: Routing | None = None
    policies: Policies | None = None
    services: Services | None = None
    addresses: Addresses | None = None

    @property
    def domains(self) -> dict[str, Progress]:
        """Those that are switched on."""
        found = {
            "routing": self.routing,
            "policies": self.policies,
            "services": self.services,
            "loadbalancer": self.addresses,
        }
        return {name: progress for name, progress in found.items() if progress is not None}

    @property
    def last_error(self) -> str:
        """Why the node is not as desired; empty when nothing is wrong."""
        return next((each.trouble for each in self.domains.values() if each.trouble), self.source_error)

    @property
    def problems(self) -> tuple[InputError, ...]:
        """Of all domains; an object that several of them read is named once."""
        return tuple({str(each): each for each in _problems(self)}.values())

    @property
    def synced(self) -> bool:
        return all(each.synced for each in self.domains.values())

    @property
    def converged(self) -> bool:
        return all(each.converged for each in self.domains.values())

    @property
    def healthy(self) -> bool:
        return all(each.healthy for each in self.domains.values())

    @property
    def ready(self) -> bool:
        return all(each.ready for each in self.domains.values())

    @property
    def generation(self) -> int:
        """Passes that changed the node."""
        return sum(each.generation for each in self.domains.values())

    @property
    def last_sync(self) -> float | None:
        """When the domain that is furthest behind was read back as desired."""
        times = [each.last_sync for each in self.domains.values()]
        return None if None in times else min(filter(None, times), default=None)


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """`sight` is what BIRD says, None when it does not answer; `policies` and `services` what the kernel counted."""

    state: State
    sight: Sight | None = None
    policies: tuple[Counter, ...] = ()
    services: tuple[ServiceTraffic, ...] = ()


def _problems(state: State) -> Iterator[InputError]:
    for each in state.domains.values():
        yield from each.problems
    if state.policies:
        yield from state.policies.unprogrammed
    if state.services:
        yield from state.services.unprogrammed


def document(state: State) -> dict[str, Any]:
    """`birdctl show status -o json`."""
    whole = {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "Status",
        "node": state.node,
        "converged": state.converged,
        "healthy": state.healthy,
        "generation": state.generation,
        "lastSync": time_of_day(state.last_sync) if state.last_sync is not None else None,
        "lastError": state.last_error or None,
        "problems": list(map(str, state.problems)),
        "domains": {name: _domain(progress) for name, progress in state.domains.items()},
        "bird": _bird(state.routing) if state.routing else {},
        "source": _known({"kind": state.source, "synced": state.synced, "lastError": state.source_error or None}),
    }
    return _known(whole)


def _domain(progress: Progress) -> dict[str, Any]:
    return _known(
        {
            "enabled": True,
            "converged": progress.converged,
            "pendingChanges": progress.pending,
            "lastSyncSeconds": progress.last_sync_seconds,
            "lastError": progress.trouble or None,
        }
    )


def _bird(routing: Routing) -> dict[str, Any]:
    if routing.bird_error or routing.sight is None:
        return _known({"lastError": routing.bird_error or None})
    status = routing.sight.status
    return {
        "version": ".".join(map(str, status.version)),
        "routerId": status.router_id,
        "uptimeSeconds": int(status.uptime + time.monotonic() - routing.sight.at),
        "configDigest": routing.running,
        "recovering": status.recovering,
    }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """What is unknown is absent."""
    return {name: value for name, value in values.items() if value is not None}


def time_of_day(moment: float) -> str:
    """RFC 3339, of seconds since the epoch."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
