"""Which agent acts for the whole cluster: the holder of a Lease, for as long as it renews it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from birdctl.cluster.lease import Lease, LeaseClient
from birdctl.errors import ApiRefused, BackendError

log = logging.getLogger(__name__)

DURATION_SECONDS = 15.0
"""A Lease that nobody renewed for so long may be taken."""
RENEW_SECONDS = 5.0
SAFETY_SECONDS = 5.0
"""Who could not renew stops acting so much earlier than others may take over."""


class Election:
    """One candidate. `step` it at `next_step` (monotonic); it leads while `leads` says so, and no longer.

    Other agents' clocks do not matter: a Lease counts as abandoned when it did not change for its duration, on the own
    clock.
    """

    def __init__(self, leases: LeaseClient, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._identity = f"{name}_{secrets.token_hex(4)}"
        self._clock = clock
        self._lease: Lease | None = None
        self._changed_at = clock()
        self._until = 0.0
        self.next_step = clock()
        self.terms = 0

    @property
    def leads(self) -> bool:
        return self._clock() < self._until

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as is known."""
        return self._lease.spec.holder_identity if self._lease else ""

    @property
    def intents(self) -> Any:
        """Of the holder that was before, or what was recorded last."""
        return self._lease.intents if self._lease else None

    def step(self) -> None:
        """Renews the Lease, or takes it when it is free. Raises Unavailable, ApiRefused."""
        self.next_step = self._clock() + RENEW_SECONDS
        self._see(self._leases.read())
        if self.holder in ("", self._identity) or self._clock() - self._changed_at > DURATION_SECONDS:
            self._hold(self.intents)

    def _see(self, lease: Lease | None) -> None:
        before, self._lease = self._lease, lease
        if before is None or lease is None or before.metadata.resource_version != lease.metadata.resource_version:
            self._changed_at = self._clock()

    def _hold(self, intents: Any) -> None:
        started, led = self._clock(), self.leads
        try:
            self._lease = self._leases.write(self._lease, self._identity, DURATION_SECONDS, intents)
        except ApiRefused as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._until = 0.0
            return
        self._until = started + DURATION_SECONDS - SAFETY_SECONDS
        self.terms += not led

    def record(self, intents: Any) -> bool:
        """Writes down what is about to be done; False when somebody else leads now. Raises Unavailable, ApiRefused."""
        if self.leads:
            self._hold(intents)
        return self.leads

    def resign(self) -> None:
        """Lets the next one take over at once."""
        if not self.leads:
            return
        self._until = 0.0
        try:
            self._leases.write(self._lease, "", DURATION_SECONDS, self.intents)
        except BackendError as error:
            log.debug("the Lease runs out by itself: %s", error)
