"""Which addresses of programmed services routing may announce, and since when again. Knows no clock.

An address that stops serving is withdrawn at once, and not announced again before the hold-down is over: an endpoint
that comes and goes must not make the whole network learn and forget a route each time.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from birdctl.addresses import Address
from birdctl.cluster.events import Changed, Deleted, Event, Replaced
from birdctl.cluster.objects import ObjectMeta
from birdctl.cluster.programmed import ProgrammedService


@dataclass(frozen=True, slots=True)
class Standing:
    """What one service has in the kernel: `addresses` that are answered, those of them that have endpoints."""

    addresses: frozenset[Address] = frozenset()
    serving: frozenset[Address] = frozenset()

    def __and__(self, other: Standing) -> Standing:
        return Standing(self.addresses & other.addresses, self.serving & other.serving)


NOTHING = Standing()


class Announcing:
    """Everything said so far; `hold_down` in seconds, also for what waits when it is set. Times are monotonic."""

    def __init__(self, hold_down: float) -> None:
        self.hold_down = hold_down
        self._said: dict[str, Standing] = {}
        self._waiting: dict[str, float] = {}
        self._withdrawn: dict[tuple[str, Address], float] = {}

    @property
    def services(self) -> Collection[str]:
        """Those of which something was announced."""
        return self._said.keys()

    @property
    def recheck_at(self) -> float:
        """When something may be announced that had to wait."""
        return min(self._waiting.values(), default=math.inf)

    def held_down(self, now: float) -> dict[str, float]:
        """For how many seconds something of a service may not be announced again."""
        return {service: max(0.0, moment - now) for service, moment in self._waiting.items()}

    def due(self, now: float) -> Collection[str]:
        """Services of which something may be announced that had to wait."""
        return [service for service, moment in self._waiting.items() if moment <= now]

    def everything(self) -> Replaced:
        """All that was said, as the list that a kind begins with."""
        return Replaced(ProgrammedService, tuple(_programmed(service, each) for service, each in self._said.items()))

    def withdraw(self, service: str, stays: Standing, now: float) -> Event | None:
        """What to say before that which is not in `stays` falls; None when nothing of it was announced."""
        return self._say(service, self._said.get(service, NOTHING) & stays, now)

    def announce(self, service: str, standing: Standing, now: float) -> Event | None:
        """What to say when this is in the kernel; None when that was said."""
        self._forget(now)
        moments = {each: at for each in standing.serving if (at := self._withdrawn.get((service, each))) is not None}
        self._waiting.pop(service, None)
        if moments:
            self._waiting[service] = min(moments.values()) + self.hold_down
        return self._say(service, Standing(standing.addresses, standing.serving - moments.keys()), now)

    def _say(self, service: str, standing: Standing, now: float) -> Event | None:
        before = self._said.get(service, NOTHING)
        if standing == before:
            return None
        for address in before.serving - standing.serving:
            self._withdrawn.pop((service, address), None)
            self._withdrawn[service, address] = now
        if standing == NOTHING:
            del self._said[service]
            return Deleted(ProgrammedService, service)
        self._said[service] = standing
        return Changed(_programmed(service, standing))

    def _forget(self, now: float) -> None:
        """Hold-downs that are over; the oldest is first."""
        while self._withdrawn and self._withdrawn[first := next(iter(self._withdrawn))] + self.hold_down <= now:
            del self._withdrawn[first]


def _programmed(service: str, standing: Standing) -> ProgrammedService:
    namespace, _, name = service.rpartition("/")
    metadata = ObjectMeta(name=name, namespace=namespace)
    return ProgrammedService(metadata=metadata, addresses=standing.addresses, serving=standing.serving)
