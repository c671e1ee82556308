"""How long the kernel's virtual servers take: to compare, to write, to read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import changes
from birdctl.services.model import Port, Protocol, RealServer, Scheduler, ServerKey, VirtualServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """In seconds. `resync` reads and compares when there is nothing to do; `one` writes one changed real server."""

    write: float
    resync: float
    one: float
    activity: float
    delete: float


def many(servers: int, endpoints: int, scheduler: Scheduler = Scheduler.RR) -> dict[ServerKey, VirtualServer]:
    """So many virtual servers, each with so many real servers of its own."""
    return {
        (key := Port(address=ip_address("10.96.0.0") + number, protocol=Protocol.TCP, port=80)): VirtualServer(
            key=key,
            scheduler=scheduler,
            real_servers=tuple(
                RealServer(address=ip_address("10.128.0.0") + number * endpoints + each, port=8080)
                for each in range(endpoints)
            ),
        )
        for number in range(1, servers + 1)
    }


def measure(servers: int = 1000, endpoints: int = 10, scheduler: Scheduler = Scheduler.RR) -> Speed:
    """In this network namespace, which has no virtual servers before and after."""
    backend, desired = IpvsBackend(), many(servers, endpoints, scheduler)
    last = next(reversed(desired))
    fewer = VirtualServer(key=last, scheduler=scheduler, real_servers=desired[last].real_servers[1:])
    try:
        return Speed(
            write=_seconds(lambda: backend.write(changes({}, desired))),
            resync=_seconds(lambda: backend.write(changes(backend.read(), desired))),
            one=_seconds(lambda: backend.write(changes(desired, {**desired, last: fewer}, touched=(last,)))),
            activity=_seconds(backend.activity),
            delete=_seconds(lambda: backend.write(changes(desired, {}))),
        )
    finally:
        backend.close()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
