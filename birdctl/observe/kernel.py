"""The kernel's routes over netlink, also those of a lab node's namespace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from socket import AddressFamily
from typing import Any

from pyroute2 import IPRoute, NetNS
from pyroute2.netlink.rtnl import rt_proto

from birdctl.addresses import Address, Prefix, parse_address, parse_prefix
from birdctl.errors import BackendError
from birdctl.routing.state import NextHop

BIRD = "bird"
MAIN_TABLE = 254
_ANY = {AddressFamily.AF_INET: IPv4Address(0), AddressFamily.AF_INET6: IPv6Address(0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """One route of the main table. `protocol`: who made it, as `ip route` says (bird, kernel, static)."""

    prefix: Prefix
    protocol: str
    next_hops: tuple[NextHop, ...]
    metric: int = 0


def routes(netns: str | None = None) -> tuple[KernelRoute, ...]:
    """The main table's unicast routes, in the kernel's order. Raises BackendError."""
    try:
        with NetNS(netns, flags=0) if netns else IPRoute() as kernel:
            names = {link["index"]: link.get("ifname") for link in kernel.link("dump")}
            return tuple(_route(each, names) for each in kernel.route("dump", table=MAIN_TABLE))
    except OSError as error:
        raise BackendError(f"the kernel's routes cannot be read: {error}") from None


def of_bird(found: tuple[KernelRoute, ...]) -> dict[Prefix, tuple[NextHop, ...]]:
    """The next hops of each prefix that BIRD installed; IPv6 has a route for each."""
    hops: dict[Prefix, tuple[NextHop, ...]] = {}
    for route in found:
        if route.protocol == BIRD:
            hops[route.prefix] = (*hops.get(route.prefix, ()), *route.next_hops)
    return hops


def _route(route: Any, names: dict[int, str]) -> KernelRoute:
    destination = route.get("dst") or _ANY[AddressFamily(route["family"])]
    return KernelRoute(
        prefix=parse_prefix(f"{destination}/{route['dst_len']}"),
        protocol=rt_proto.get(route["proto"], str(route["proto"])),
        next_hops=tuple(_next_hops(route, names)),
        metric=route.get("priority") or 0,
    )


def _next_hops(route: Any, names: dict[int, str]) -> Iterator[NextHop]:
    for hop in route.get("multipath") or (route,):
        interface = names.get(hop.get("oif"), "")
        yield NextHop(address=_gateway(hop), interface=interface, weight=(hop.get("hops") or 0) + 1)


def _gateway(hop: Any) -> Address | None:
    via = hop.get("via")
    text = hop.get("gateway") or (via["addr"] if via else None)
    return parse_address(text) if text else None
