"""Virtual servers that nobody wants any more, and that stay until routing has withdrawn their address. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.services.model import Port, ServerKey, ServiceState, VirtualServer

PATIENCE = 2.0
"""Seconds that routing may take: what should fall does in any case."""

Announced = Callable[[Address], bool]
"""Whether routing announces an address now."""


class Leaving:
    """Remembers what is on its way out, and until when (monotonic)."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._servers: dict[Port, tuple[VirtualServer, float]] = {}

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def recheck_at(self) -> float:
        return min((until for _, until in self._servers.values()), default=math.inf)

    @property
    def is_over(self) -> bool:
        """Something has been withdrawn and may fall."""
        return any(not self._announced(port.address) for port in self._servers)

    def hold(
        self,
        desired: ServiceState,
        there: Mapping[ServerKey, VirtualServer],
        touched: frozenset[ServerKey] | None,
        now: float,
    ) -> tuple[ServiceState, frozenset[ServerKey] | None]:
        """`desired` with what must not fall yet, and what of it differs from the last time."""
        before = frozenset(self._servers)
        self._servers = {
            port: (server, until)
            for port, (server, until) in self._servers.items()
            if now < until and self._stays(port, desired)
        }
        for port, server in _gone(desired, there, there if touched is None else touched):
            if port not in before and self._stays(port, desired):
                self._servers[port] = server, now + PATIENCE
        if not self._servers and not before:
            return desired, touched
        state = replace(
            desired,
            virtual_servers={**desired.virtual_servers, **{port: each for port, (each, _) in self._servers.items()}},
            addresses=desired.addresses | {port.address for port in self._servers},
            vip_ports=desired.vip_ports | self._servers.keys(),
        )
        return state, None if touched is None else touched | before | self._servers.keys()

    def _stays(self, port: Port, desired: ServiceState) -> bool:
        """An address that another virtual server keeps is not withdrawn."""
        wanted = port in desired.virtual_servers or port.address in desired.addresses
        return not wanted and self._announced(port.address)


def _gone(
    desired: ServiceState, there: Mapping[ServerKey, VirtualServer], touched: Iterable[ServerKey]
) -> Iterable[tuple[Port, VirtualServer]]:
    return (
        (key, there[key])
        for key in touched
        if isinstance(key, Port) and key in there and key not in desired.virtual_servers and there[key].owner
    )
