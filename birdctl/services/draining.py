"""Graceful termination: an endpoint that goes away gets no new connections, and stays until its own have ended. Pure.

It has weight 0 meanwhile, in the kernel too: a birdctl that has just started finds it there and goes on. UDP has no
end of a connection: an endpoint that no Service names any more goes at once, so that its clients find another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from birdctl.addresses import Address
from birdctl.services.model import Connections, Endpoint, Port, Protocol, RealServer, ServerKey, VirtualServer
from birdctl.services.options import ServiceOptions

_LOOK_AGAIN = 1.0
"""Seconds between looks at the connections of draining endpoints."""

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


class Draining:
    """Remembers which endpoints drain, and since when."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._since: dict[ServerKey, Since] = {}
        self._altered: frozenset[ServerKey] = frozenset()

    @property
    def keys(self) -> frozenset[ServerKey]:
        """Virtual servers with draining endpoints: the next step wants their connections, and may change them."""
        return frozenset(self._since)

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

        `known` is what there is, `connections` are those of `keys`, `grace` is the pods' own periods in seconds.
        `touched`: nothing else is desired otherwise than in the step before; None: anything may be.
        """
        graceful = self._options.ipvs_graceful_termination
        moment = _Moment(
            connections=connections,
            periods=grace if graceful else {},
            period=self._options.ipvs_graceful_period if graceful else 0.0,
            now=now,
        )
        examined = desired.keys() if touched is None else desired.keys() & {*touched, *self._since, *self._altered}
        since = {key: dict(self._kept(known.get(key), desired[key], moment)) for key in examined}
        result = {key: _altered(desired[key], kept) for key, kept in since.items()}
        self._altered = frozenset(key for key, server in result.items() if server is not desired[key])
        self._since = {key: kept for key, kept in since.items() if kept}
        ends = [moment.end(*each) for kept in self._since.values() for each in kept.items()]
        return {**desired, **result}, min(now + _LOOK_AGAIN, *ends) if ends else None

    def _kept(
        self, known: VirtualServer | None, desired: VirtualServer, moment: _Moment
    ) -> Iterator[tuple[Endpoint, float]]:
        """The endpoints that drain, and since when: for one that begins to, whoever is connected is not known yet."""
        before = self._since.get(desired.key, {})
        for endpoint in _leaving(known, desired) if known else ():
            since = before.get(endpoint, moment.now)
            is_needed = endpoint not in before or moment.is_in_use(desired.key, endpoint)
            if is_needed and moment.now < moment.end(endpoint, since):
                yield endpoint, since


def _leaving(known: VirtualServer, desired: VirtualServer) -> Iterator[Endpoint]:
    """Endpoints that are there and get no new connections: unnamed, or named with weight 0."""
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
