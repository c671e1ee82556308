"""Links, addresses and routes over netlink: requests packed by hand, replies as header and attributes.

A socket stays in the network namespace that its thread was in when it was opened. Names and numbers are those of
rtnetlink(7), linux/rtnetlink.h and linux/if_link.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6
from typing import NamedTuple

from birdctl.addresses import Address, Family
from birdctl.netfilter.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
)

FAMILIES = {Family.IPV4: int(AF_INET), Family.IPV6: int(AF_INET6)}
PROTOCOL = 98
"""On routes and rules: birdctl made them."""
TABLE_LOCAL = 255

_NLMSG_ERROR = 2
_NEWLINK, _DELLINK, _GETLINK, _GETADDR = 16, 17, 18, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBi"), struct.Struct("=BBBBBBBBI")
_INT = struct.Struct("=i")
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_IFLA_IFNAME, _IFLA_LINKINFO = 3, 18
_INFO_KIND = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_PREFSRC = 1, 4, 7
_SCOPE_HOST, _TYPE_LOCAL = 254, 2
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12


class RouteMessage(Message):
    """A request that begins with the header of its kind; its replies are given whole."""

    __slots__ = ()
    skipped = 0

    def __init__(self, kind: int, body: bytes, flags: int = 0) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body


class RouteNetlink(Netlink):
    """An open socket whose dumps hold only what the request describes."""

    def __init__(self, who: str) -> None:
        super().__init__(who, NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)

    def ask(self, message: Message) -> bytes | None:
        """The reply to a question about one thing; None when there is no such thing."""
        self._socket.sendall(self._packed(message, NLM_F_ACK))
        reply: bytes | None = None
        while True:
            for kind, sequence, body in self._receive():
                if sequence == self._sequence and kind == _NLMSG_ERROR:
                    return reply
                reply = body

    def index(self, name: str) -> int | None:
        """Of the interface. (An if_nametoindex(3) for one that is not there costs the start of a modprobe.)"""
        reply = self.ask(RouteMessage(_GETLINK, _link(name)))
        return None if reply is None else _LINK.unpack_from(reply)[2]


class Held(NamedTuple):
    """An address and the index of its interface."""

    address: Address
    interface: int


def new_link(name: str, kind: str) -> Message:
    """Makes the link unless there is one of the name, and sets it up; it asks for no neighbours."""
    body = _link(name, _IFF_UP | _IFF_NOARP) + nested(_IFLA_LINKINFO, attribute(_INFO_KIND, kind.encode()))
    return RouteMessage(_NEWLINK, body, NLM_F_CREATE)


def delete_link(name: str) -> Message:
    return RouteMessage(_DELLINK, _link(name))


def _link(name: str, flags: int = 0) -> bytes:
    return _LINK.pack(0, 0, 0, flags, flags) + attribute(_IFLA_IFNAME, name.encode() + b"\0")


def new_local_route(address: Address, interface: int, source: Address | None) -> Message:
    """What is sent to `address` arrives here; the node itself uses `source` to talk to it."""
    body = _local_route(address, interface)
    if source is not None:
        body += attribute(_RTA_PREFSRC, source.packed)
    return RouteMessage(_NEWROUTE, body, NLM_F_CREATE)


def delete_local_route(address: Address, interface: int) -> Message:
    return RouteMessage(_DELROUTE, _local_route(address, interface))


def _local_route(address: Address, interface: int) -> bytes:
    family = AF_INET if address.version == 4 else AF_INET6  # noqa: PLR2004 - IPv4
    header = _ROUTE.pack(family, address.max_prefixlen, 0, 0, TABLE_LOCAL, PROTOCOL, _SCOPE_HOST, _TYPE_LOCAL, 0)
    return header + attribute(_RTA_DST, address.packed) + attribute(_RTA_OIF, _INT.pack(interface))


def local_routes(kernel: RouteNetlink, family: Family, interface: int) -> Iterator[tuple[Address, Address | None]]:
    """Those that birdctl made, of one interface: the address, and what the node uses to talk to it."""
    header = _ROUTE.pack(FAMILIES[family], 0, 0, 0, TABLE_LOCAL, PROTOCOL, 0, _TYPE_LOCAL, 0)
    for reply in kernel.dump(RouteMessage(_GETROUTE, header + attribute(_RTA_OIF, _INT.pack(interface)))):
        found = attributes(reply, _ROUTE.size)
        source = found.get(_RTA_PREFSRC)
        yield unpack(found[_RTA_DST]), unpack(source) if source else None


def held_addresses(kernel: RouteNetlink) -> Iterator[Held]:
    """Every address of every interface."""
    for reply in kernel.dump(RouteMessage(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0))):
        _, _, _, _, interface = _ADDRESS.unpack_from(reply)
        found = attributes(reply, _ADDRESS.size)
        yield Held(unpack(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]), interface)


def unpack(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)  # noqa: PLR2004 - bytes of an IPv4 address
