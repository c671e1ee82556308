"""The routes that BIRD put into the kernel, read over netlink, also in a lab node's namespace."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from socket import AddressFamily
from typing import Any

from pyroute2 import IPRoute, NetNS

from birdctl.addresses import Address, Prefix, parse_address, parse_prefix
from birdctl.errors import BackendError
from birdctl.routing.state import NextHop

RTPROT_BIRD = 12  # linux/rtnetlink.h
MAIN_TABLE = 254
_ANY = {AddressFamily.AF_INET: IPv4Address(0), AddressFamily.AF_INET6: IPv6Address(0)}


def bird_routes(netns: str | None = None) -> dict[Prefix, tuple[NextHop, ...]]:
    """The next hops of each prefix that BIRD installed in the main table. Raises BackendError."""
    try:
        with NetNS(netns, flags=0) if netns else IPRoute() as kernel:
            names = {link["index"]: link.get("ifname") for link in kernel.link("dump")}
            found: dict[Prefix, tuple[NextHop, ...]] = {}
            for route in kernel.route("dump", table=MAIN_TABLE, proto=RTPROT_BIRD):
                prefix = _prefix(route)
                found[prefix] = (*found.get(prefix, ()), *_next_hops(route, names))
            return found
    except OSError as error:
        raise BackendError(f"the kernel's routes cannot be read: {error}") from None


def _prefix(route: Any) -> Prefix:
    destination = route.get("dst") or _ANY[AddressFamily(route["family"])]
    return parse_prefix(f"{destination}/{route['dst_len']}")


def _next_hops(route: Any, names: dict[int, str]) -> Iterator[NextHop]:
    for hop in route.get("multipath") or (route,):
        interface = names.get(hop.get("oif"), "")
        yield NextHop(address=_gateway(hop), interface=interface, weight=(hop.get("hops") or 0) + 1)


def _gateway(hop: Any) -> Address | None:
    via = hop.get("via")
    text = hop.get("gateway") or (via["addr"] if via else None)
    return parse_address(text) if text else None
