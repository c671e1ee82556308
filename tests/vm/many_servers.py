"""As many virtual servers as a large cluster has."""

from __future__ import annotations

from ipaddress import ip_address

from birdctl.services.model import Port, Protocol, RealServer, Scheduler, ServerKey, VirtualServer


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
