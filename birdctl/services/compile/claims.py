"""Who gets a port that several services want: the first of them, whatever the order they come in.

What the cluster gave comes before external IPs, which people may write as they like, and a cluster IP before anything;
then it goes by namespace and name.
All ports of an address have direct server return or none has, as its first service wants: a node that holds an address
drops what pods answer from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from birdctl.addresses import Address
from birdctl.errors import InputError
from birdctl.services.compile.part import Served, ServicePart
from birdctl.services.model import Port, ServiceAddressKind

_FIELDS: Mapping[ServiceAddressKind, str] = {
    "ClusterIP": "spec.clusterIPs",
    "NodePort": "spec.ports",
    "ExternalIP": "spec.externalIPs",
    "LoadBalancerIP": "status.loadBalancer",
}
_RANKS: Mapping[ServiceAddressKind, int] = {"ClusterIP": 0, "LoadBalancerIP": 1, "NodePort": 1, "ExternalIP": 2}

Change = tuple[Port, Served | None, Served | None]
"""A port, and what was served there before and is now."""


class Claims:
    """Of all services. A port's claims are in order; nearly every port has one."""

    def __init__(self) -> None:
        self._claims: dict[Port, tuple[Served, ...]] = {}
        self._winners: dict[Port, Served] = {}
        self._contested: dict[Port, None] = {}
        self._ports: dict[Address, dict[Port, None]] = defaultdict(dict)
        self._direct: Counter[Address] = Counter()  # how many claims want direct server return

    def put(self, before: ServicePart, after: ServicePart) -> Iterator[Change]:
        """Replaces what one service wants. The ports where that makes a difference."""
        changed = {
            port: (old, new)
            for port in {**before.served, **after.served}
            if (old := before.served.get(port)) is not (new := after.served.get(port))
        }
        shared = {port.address for port in changed if self._direct[port.address]}
        for port, claims in changed.items():
            self._replace(port, *claims)
        shared |= {port.address for port in changed if self._direct[port.address]}
        neighbours = (port for address in shared for port in self._ports.get(address, ()))
        yield from self._decide(dict.fromkeys((*changed, *neighbours)))

    def conflicts(self) -> Iterator[InputError]:
        """One for each claim that another beats."""
        for port in self._contested:
            what, winner = f"{port.address} {port.port}/{port.protocol}", self._winners.get(port)
            for served in self._claims[port]:
                if served is winner:
                    continue
                if winner and _is_direct(winner) is _is_direct(served):
                    reason = f"{what} is served for Service {winner.owner.service} already"
                else:
                    how = "without" if _is_direct(served) else "with"
                    first = self._first(port.address).owner.service
                    reason = f"{what}: all of this address is served {how} service.dsr, as Service {first} wants"
                field = _FIELDS[served.owner.kind]
                yield InputError(f"Service {served.owner.service}", field, f"{reason}: not for this one")

    def _replace(self, port: Port, old: Served | None, new: Served | None) -> None:
        now = [served for served in self._claims.pop(port, ()) if served is not old]
        if new:
            now = sorted((*now, new), key=_precedence)
        if now:
            self._claims[port] = tuple(now)
            self._ports[port.address][port] = None
        else:
            del self._ports[port.address][port]
            if not self._ports[port.address]:
                del self._ports[port.address]
        self._direct[port.address] += _is_direct(new) - _is_direct(old)
        if not self._direct[port.address]:
            del self._direct[port.address]

    def _decide(self, ports: Collection[Port]) -> Iterator[Change]:
        """Whose each port is now; those that are another's than before, or other."""
        shared = {port.address for port in ports} & self._direct.keys()
        direct = {address: _is_direct(self._first(address)) for address in shared}
        for port in ports:
            wanted = direct.get(port.address, False)
            claims, before = self._claims.get(port, ()), self._winners.pop(port, None)
            after = next((each for each in claims if _is_direct(each) is wanted), None)
            if after:
                self._winners[port] = after
            if len(claims) > bool(after):
                self._contested[port] = None
            else:
                self._contested.pop(port, None)
            if before is not after:
                yield port, before, after

    def _first(self, address: Address) -> Served:
        return min((self._claims[port][0] for port in self._ports[address]), key=_precedence)


def _is_direct(served: Served | None) -> bool:
    return served is not None and served.direct is not None


def _precedence(served: Served) -> tuple[int, str]:
    return _RANKS[served.owner.kind], served.owner.service
