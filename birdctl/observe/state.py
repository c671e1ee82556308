"""What the agent knows of itself: one frozen value that the loop replaces and every other thread reads.

converged   everything the source said is compiled, and the digest read from the running BIRD is that of the result
healthy     BIRD answers, is not recovering from a restart, and enough sessions carry all their routes
ready       healthy, and the first complete sync was read back
alive       the loop turned lately
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from birdctl.errors import InputError
from birdctl.observe.sight import Sight
from birdctl.routing.inventory import Inventory


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`running` and `desired` are digests; `pending` is how many changes a pass found and did not apply; times of day
    in seconds since the epoch, `heartbeat` on the monotonic clock, `patience` in seconds.
    """

    node: str
    inventory: Inventory
    source: str = ""
    source_error: str = ""
    synced: bool = False
    bird_error: str = ""
    running: str | None = None
    desired: str | None = None
    dirty: bool = True
    pending: int = 0
    error: str = ""
    refused: bool = False
    problems: tuple[InputError, ...] = ()
    generation: int = 0
    last_sync: float | None = None
    last_sync_seconds: float | None = None
    sight: Sight | None = None
    heartbeat: float = msgspec.field(default_factory=time.monotonic)
    patience: float = 60.0
    quorum: float = 0.5

    @property
    def last_error(self) -> str:
        """Why the node is not as desired; empty when nothing is wrong."""
        return self.error or self.bird_error or self.source_error

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

    @property
    def ready(self) -> bool:
        return self.healthy and self.last_sync is not None

    @property
    def alive(self) -> bool:
        return time.monotonic() - self.heartbeat < self.patience


def document(state: State) -> dict[str, Any]:
    """`birdctl show status -o json`."""
    routing = {
        "enabled": True,
        "converged": state.converged,
        "pendingChanges": state.pending,
        "lastSyncSeconds": state.last_sync_seconds,
        "lastError": state.last_error or None,
    }
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
        "domains": {"routing": _known(routing)},
        "bird": _bird(state),
        "source": _known({"kind": state.source, "synced": state.synced, "lastError": state.source_error or None}),
    }
    return _known(whole)


def _bird(state: State) -> dict[str, Any]:
    if state.bird_error or state.sight is None:
        return _known({"lastError": state.bird_error or None})
    status = state.sight.status
    return {
        "version": ".".join(map(str, status.version)),
        "routerId": status.router_id,
        "uptimeSeconds": int(status.uptime + time.monotonic() - state.sight.at),
        "configDigest": state.running,
        "recovering": status.recovering,
    }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """What is unknown is absent."""
    return {name: value for name, value in values.items() if value is not None}


def time_of_day(moment: float) -> str:
    """RFC 3339, of seconds since the epoch."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
