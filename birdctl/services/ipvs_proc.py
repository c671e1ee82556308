"""/proc/net/ip_vs: the real servers of all virtual servers in one read. Pure.

A netlink dump is of one virtual server at a time, which takes four times as long for all of them. What is not in this
text (flags, the families of marks) is in the dump of virtual servers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from birdctl.addresses import family
from birdctl.services.model import Connections, Endpoint, Forwarding, Mark, Port, Protocol, RealServer, ServerKey

_BLOCK = re.compile(r"\n(?=[A-Z])")
_MARK = "FWM"
_FORWARDINGS = {"Masq": Forwarding.MASQUERADE, "Tunnel": Forwarding.TUNNEL}
_PROTOCOLS = frozenset(Protocol)


class FoundReal(NamedTuple):
    """A real server as it is in the kernel."""

    server: RealServer
    forwarding: Forwarding
    connections: Connections


def real_servers(text: str) -> dict[ServerKey, tuple[FoundReal, ...]]:
    """By virtual server, in numeric order. Marks that have none are left out."""
    return dict(_keyed(text))


def _keyed(text: str) -> Iterator[tuple[ServerKey, tuple[FoundReal, ...]]]:
    read = functools.cache(_real_server)
    for block in _BLOCK.split(text)[2:]:
        line, *lines = block.splitlines()
        found = tuple(map(read, sorted(lines)))
        protocol, name = line.split(maxsplit=2)[:2]
        if protocol == _MARK and found:
            yield Mark(mark=int(name, 16), family=family(found[0].server.address)), found
        elif protocol in _PROTOCOLS:
            address, port = _endpoint(name)
            yield Port(address=address, protocol=Protocol(protocol), port=port), found


def _real_server(line: str) -> FoundReal:
    _, endpoint, forwarding, weight, active, inactive = line.split()
    address, port = _endpoint(endpoint)
    return FoundReal(
        RealServer(address=address, port=port, weight=int(weight)),
        _FORWARDINGS.get(forwarding, Forwarding.OTHER),
        Connections(active=int(active), inactive=int(inactive)),
    )


def _endpoint(text: str) -> Endpoint:
    """Numbers are hexadecimal, IPv6 addresses in brackets."""
    address, _, port = text.rpartition(":")
    host = IPv6Address(address[1:-1]) if address[0] == "[" else IPv4Address(int(address, 16))
    return host, int(port, 16)
