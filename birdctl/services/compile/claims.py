"""Who gets a port that several services want: the first of them, whatever the order they come in.

Cluster IPs come before all other addresses, which people may write as they like, then it goes by namespace and name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdctl.errors import InputError
from birdctl.services.compile.part import Served, ServicePart
from birdctl.services.model import Port, ServiceAddressKind

_FIELDS: Mapping[ServiceAddressKind, str] = {
    "ClusterIP": "spec.clusterIPs",
    "NodePort": "spec.ports",
    "ExternalIP": "spec.externalIPs",
    "LoadBalancerIP": "status.loadBalancer",
}

Change = tuple[Port, Served | None, Served | None]
"""A port, and what was served there before and is now."""


class Claims:
    """Of all services. A port's claims are in order; nearly every port has one."""

    def __init__(self) -> None:
        self._claims: dict[Port, tuple[Served, ...]] = {}
        self._contested: set[Port] = set()

    def put(self, before: ServicePart, after: ServicePart) -> Iterator[Change]:
        """Replaces what one service wants. The ports where that makes a difference."""
        for port in {**before.served, **after.served}:
            old, new = before.served.get(port), after.served.get(port)
            if old is not new:
                yield from self._replace(port, old, new)

    def conflicts(self) -> Iterator[InputError]:
        """One for each claim that another beats."""
        for port in self._contested:
            winner, *losers = (served.owner for served in self._claims[port])
            what = f"{port.address} {port.port}/{port.protocol}"
            for owner in losers:
                problem = f"{what} is served for Service {winner.service} already: not for this one"
                yield InputError(f"Service {owner.service}", _FIELDS[owner.kind], problem)

    def _replace(self, port: Port, old: Served | None, new: Served | None) -> Iterator[Change]:
        claims = self._claims.pop(port, ())
        now = tuple(served for served in claims if served is not old)
        if new:
            now = tuple(sorted((*now, new), key=_precedence))
        if now:
            self._claims[port] = now
        if len(now) > 1:
            self._contested.add(port)
        else:
            self._contested.discard(port)
        before, after = (each[0] if each else None for each in (claims, now))
        if before is not after:
            yield port, before, after


def _precedence(served: Served) -> tuple[bool, str]:
    return served.owner.kind != "ClusterIP", served.owner.service
