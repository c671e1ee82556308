"""Virtual servers that nobody wants any more, and that stay until routing has withdrawn their address. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.services.model import DirectReturn, Port, ServerKey, ServiceState, VirtualServer

PATIENCE = 2.0
"""Seconds that routing may take: what should fall does in any case."""

Announced = Callable[[Address], bool]
"""Whether routing announces an address now."""


class _Held(NamedTuple):
    """A virtual server, the port that clients use, what goes with it for direct server return, and until when."""

    server: VirtualServer
    port: Port
    direct: DirectReturn | None
    until: float


class Leaving:
    """Remembers what is on its way out, and until when (monotonic)."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._held: dict[ServerKey, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def recheck_at(self) -> float:
        return min((each.until for each in self._held.values()), default=math.inf)

    @property
    def is_over(self) -> bool:
        """Something has been withdrawn and may fall."""
        return any(not self._announced(each.port.address) for each in self._held.values())

    def hold(
        self, desired: ServiceState, there: ServiceState, touched: frozenset[ServerKey] | None, now: float
    ) -> tuple[ServiceState, frozenset[ServerKey] | None]:
        """`desired` with what is `there` and must not fall yet, and what of it differs from the last time."""
        before = self._held
        gone = _gone(desired, there, now + PATIENCE, there.virtual_servers if touched is None else touched)
        self._held = {
            key: each
            for key, each in {**gone, **before}.items()
            if now < each.until and key not in desired.virtual_servers and self._waits(each.port.address, desired)
        }
        if not self._held and not before:
            return desired, touched
        return self._with_held(desired), None if touched is None else touched | before.keys() | self._held.keys()

    def _waits(self, address: Address, desired: ServiceState) -> bool:
        """An address that another virtual server keeps is not withdrawn."""
        kept = address in desired.addresses or any(each.port.address == address for each in desired.direct_returns)
        return not kept and self._announced(address)

    def _with_held(self, desired: ServiceState) -> ServiceState:
        ports = frozenset(each.port for each in self._held.values() if each.direct is None)
        return replace(
            desired,
            virtual_servers={**desired.virtual_servers, **{key: each.server for key, each in self._held.items()}},
            addresses=desired.addresses | {each.address for each in ports},
            vip_ports=desired.vip_ports | ports,
            direct_returns=(*desired.direct_returns, *(each.direct for each in self._held.values() if each.direct)),
        )


def _gone(
    desired: ServiceState, there: ServiceState, until: float, touched: Iterable[ServerKey]
) -> dict[ServerKey, _Held]:
    """Ours that are there and not desired any more."""
    directs: dict[ServerKey, DirectReturn] = {each.key: each for each in there.direct_returns}
    found = {}
    for key in touched:
        server = there.virtual_servers.get(key)
        if server and server.owner and key not in desired.virtual_servers:
            port = key if isinstance(key, Port) else directs[key].port
            found[key] = _Held(server, port, directs.get(key), until)
    return found
