"""Graceful termination: an endpoint that goes away gets no new connections, and stays until its own have ended. Pure.

It has weight 0 meanwhile, in the kernel too: a birdctl that has just started finds it there and goes on. UDP has no
end of a connection: an endpoint that no Service names any more goes at once, so that its clients find another one. So
does any endpoint behind the scheduler dh, which would go on to choose it, and refuse everybody.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from birdctl.addresses import Address
from birdctl.services.model import (
    Connections,
    Endpoint,
    Port,
    Protocol,
    RealServer,
    Scheduler,
    ServerKey,
    VirtualServer,
)
from birdctl.services.options import ServiceOptions

_LOOK_AGAIN, _LOOKS = 1.0, 0.25
"""Seconds between looks at the connections of a draining endpoint, which are taken together with others'."""

Since = Mapping[Endpoint, float]
"""The draining endpoints of a virtual server, and since when they drain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """What decides whether an endpoint may go."""

    connections: Mapping[ServerKey, Mapping[Endpoint, Connections]]
    periods: Mapping[Address, float]
    period: float
    now: float

    def end(self, endpoint: Endpoint, since: float) -> float:
        """When it has to go at the latest."""
        return since + self.periods.get(endpoint[0], self.period)

    def is_in_use(self, key: ServerKey, endpoint: Endpoint) -> bool:
        """True also when nobody looked."""
        found = self.connections.get(key, {}).get(endpoint)
        return found is None or bool(found.active or found.inactive)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Altered:
    """A virtual server that is otherwise than desired, as it is; `look_at`: when that may end."""

    server: VirtualServer
    since: Since
    look_at: float


class Draining:
    """Remembers which endpoints drain, and since when."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._altered: dict[ServerKey, _Altered] = {}

    def due(self, now: float) -> frozenset[ServerKey]:
        """Virtual servers with endpoints that may have drained: a step wants their connections, and may change them."""
        return frozenset(key for key, each in self._altered.items() if each.look_at <= now)

    def step(
        self,
        desired: Mapping[ServerKey, VirtualServer],
        known: Mapping[ServerKey, VirtualServer],
        connections: Mapping[ServerKey, Mapping[Endpoint, Connections]],
        grace: Mapping[Address, float],
        now: float,
        *,
        touched: Collection[ServerKey] | None = None,
    ) -> tuple[dict[ServerKey, VirtualServer], float | None]:
        """The virtual servers to have now, and when to look again (None: nothing drains).

        `known` is what there is, `connections` are those of `due`, `grace` is the pods' own periods in seconds.
        `touched`: nothing else is desired otherwise than in the step before; None: anything may be.
        """
        graceful = self._options.ipvs_graceful_termination
        moment = _Moment(
            connections=connections,
            periods=grace if graceful else {},
            period=self._options.ipvs_graceful_period if graceful else 0.0,
            now=now,
        )
        examined = desired.keys() if touched is None else desired.keys() & {*touched, *self.due(now)}
        altered = {key: each for key, each in self._altered.items() if key in desired and key not in examined}
        for key in examined:
            if found := self._examined(known.get(key), desired[key], moment):
                altered[key] = found
        self._altered = altered
        again_at = min((each.look_at for each in altered.values()), default=math.inf)
        servers = {**desired, **{key: each.server for key, each in altered.items()}}
        return servers, again_at if again_at < math.inf else None

    def _examined(self, known: VirtualServer | None, desired: VirtualServer, moment: _Moment) -> _Altered | None:
        """None: it is to be as desired."""
        before = self._altered.get(desired.key)
        since = dict(_kept(known, desired, before.since if before else {}, moment)) if known else {}
        server = _altered(desired, since)
        if server is desired and not since:
            return None
        is_awaited = before is not None and moment.now < before.look_at < math.inf
        look_at = before.look_at if before and is_awaited else _next_look(moment.now)
        ends = (moment.end(*each) for each in since.items())
        return _Altered(server=server, since=since, look_at=min(look_at, *ends) if since else math.inf)


def _kept(
    known: VirtualServer, desired: VirtualServer, before: Since, moment: _Moment
) -> Iterator[tuple[Endpoint, float]]:
    """The endpoints that drain, and since when: for one that begins to, whoever is connected is not known yet."""
    for endpoint in _leaving(known, desired):
        since = before.get(endpoint, moment.now)
        is_needed = endpoint not in before or moment.is_in_use(desired.key, endpoint)
        if is_needed and moment.now < moment.end(endpoint, since):
            yield endpoint, since


def _next_look(now: float) -> float:
    return (now + _LOOK_AGAIN) // _LOOKS * _LOOKS


def _leaving(known: VirtualServer, desired: VirtualServer) -> Iterator[Endpoint]:
    """Endpoints that are there and get no new connections: unnamed, or named with weight 0."""
    if desired.scheduler is Scheduler.DH:
        return
    if known.real_servers == desired.real_servers and all(each.weight for each in desired.real_servers):
        return
    weights = {each.endpoint: each.weight for each in desired.real_servers}
    for endpoint in (each.endpoint for each in known.real_servers):
        if weights.get(endpoint) == 0 or (endpoint not in weights and not _is_udp(desired.key)):
            yield endpoint


def _is_udp(key: ServerKey) -> bool:
    return isinstance(key, Port) and key.protocol is Protocol.UDP


def _altered(desired: VirtualServer, kept: Since) -> VirtualServer:
    """With those that drain, and without those that are desired with weight 0 and do not."""
    named = tuple(each for each in desired.real_servers if each.weight or each.endpoint in kept)
    unnamed = kept.keys() - {each.endpoint for each in named} if kept else ()
    if not unnamed and len(named) == len(desired.real_servers):
        return desired
    drained = (RealServer(address=address, port=port, weight=0) for address, port in sorted(unnamed, key=_order))
    return msgspec.structs.replace(desired, real_servers=(*named, *drained))


def _order(endpoint: Endpoint) -> tuple[int, int]:
    return int(endpoint[0]), endpoint[1]
