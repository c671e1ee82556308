"""Links, addresses, routes and rules over netlink: requests packed by hand, replies as values.

A socket stays in the network namespace that its thread was in when it was opened. Names and numbers are those of
rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/if_tunnel.h and linux/fib_rules.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from socket import IPPROTO_IPV6
from typing import NamedTuple

from birdctl.addresses import Address, Family, family, unpacked
from birdctl.errors import BackendError
from birdctl.netfilter.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
)

PROTOCOL = 98
"""On routes and rules: birdctl made them."""
TABLE_LOCAL = 255
ETHERNET_MTU = 1500
UP, NOARP = 0x1, 0x80
RP_FILTER, ARP_ANNOUNCE, ARP_IGNORE = 8, 18, 19
"""Settings of an interface, as `set_conf` takes them (linux/ip.h)."""

_NLMSG_ERROR = 2
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWRULE, _DELRULE, _GETRULE = 32, 33, 34
_LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBi")
_ROUTE = _RULE = struct.Struct("=BBBBBBBBI")
_INT, _UNSIGNED, _LIFETIME = struct.Struct("=i"), struct.Struct("=I"), struct.Struct("=IIII")
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_AF_SPEC = 3, 4, 10, 18, 20, 26
_INFO_KIND, _INFO_DATA, _INET_CONF = 1, 2, 1
_IPTUN_LOCAL, _IPTUN_PROTO = 2, 9
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_F_NODAD, _FOR_EVER = 1, 2, 6, 0x02, 0xFFFFFFFF
_RTA_DST, _RTA_OIF, _RTA_PREFSRC = 1, 4, 7
_FRA_PRIORITY, _FRA_FWMARK, _FRA_FWMASK, _FRA_PROTOCOL = 6, 10, 16, 21
_SCOPE_UNIVERSE, _SCOPE_HOST, _TYPE_LOCAL, _TO_TABLE = 0, 254, 2, 1
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12


class RouteMessage(Message):
    """A request that begins with the header of its kind; its replies are given whole."""

    __slots__ = ()
    skipped = 0

    def __init__(self, kind: int, body: bytes, flags: int = 0) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    flags: int
    alias: str


class Held(NamedTuple):
    """An address, and the index of its interface."""

    address: Address
    interface: int


class RouteNetlink(Netlink):
    """An open socket. What is read raises BackendError where the kernel refuses."""

    def __init__(self, who: str) -> None:
        super().__init__(who, NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)

    def dump(self, message: Message) -> Iterator[bytes]:
        """The replies, of only what the request describes."""
        try:
            yield from super().dump(message)
        except OSError as error:
            raise BackendError(f"{self._who} cannot be read: {os.strerror(error.errno or 0)}") from None

    def link(self, name: str) -> Link | None:
        """By name. (An if_nametoindex(3) for one that is not there costs the start of a modprobe.)"""
        reply = self._ask(RouteMessage(_GETLINK, _link(name)))
        if reply is None:
            return None
        _, _, index, flags, _ = _LINK.unpack_from(reply)
        alias = attributes(reply, _LINK.size).get(_IFLA_IFALIAS, b"")
        return Link(index, flags, alias.rstrip(b"\0").decode(errors="replace"))

    def _ask(self, message: Message) -> bytes | None:
        """The reply to a question about one thing; None when there is no such thing."""
        self._socket.sendall(self._packed(message, NLM_F_ACK))
        reply: bytes | None = None
        while True:
            for kind, sequence, body in self._receive():
                if sequence == self._sequence and kind == _NLMSG_ERROR:
                    return reply
                reply = body

    def mtu(self, interface: int) -> int:
        """In bytes; Ethernet's of an interface that has gone."""
        reply = self._ask(RouteMessage(_GETLINK, _LINK.pack(0, 0, interface, 0, 0)))
        found = attributes(reply, _LINK.size).get(_IFLA_MTU) if reply else None
        return int(_UNSIGNED.unpack(found)[0]) if found else ETHERNET_MTU

    def bridges(self) -> frozenset[int]:
        """The interfaces that are bridges."""
        body = _LINK.pack(0, 0, 0, 0, 0) + nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"bridge"))
        return frozenset(_LINK.unpack_from(reply)[2] for reply in self.dump(RouteMessage(_GETLINK, body)))

    def bridges_with_ports(self) -> tuple[str, ...]:
        """Their names, sorted."""
        names, masters = {}, set()
        for reply in self.dump(RouteMessage(_GETLINK, _LINK.pack(0, 0, 0, 0, 0))):
            found = attributes(reply, _LINK.size)
            if _IFLA_MASTER in found:
                masters.add(_INT.unpack(found[_IFLA_MASTER])[0])
            if attributes(found.get(_IFLA_LINKINFO, b"")).get(_INFO_KIND) == b"bridge\0":
                names[_LINK.unpack_from(reply)[2]] = found[_IFLA_IFNAME].rstrip(b"\0").decode()
        return tuple(sorted(name for index, name in names.items() if index in masters))

    def way_to(self, address: Address) -> int | None:
        """The interface through which packets go there; None when none does."""
        header = _ROUTE.pack(family(address).number, address.max_prefixlen, *[0] * 7)
        reply = self._ask(RouteMessage(_GETROUTE, header + attribute(_RTA_DST, address.packed)))
        found = attributes(reply, _ROUTE.size).get(_RTA_OIF) if reply else None
        return int(_INT.unpack(found)[0]) if found else None

    def addresses(self) -> Iterator[Held]:
        """Every address of every interface."""
        for reply in self.dump(RouteMessage(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0))):
            found = attributes(reply, _ADDRESS.size)
            yield Held(unpacked(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]), _ADDRESS.unpack_from(reply)[4])

    def local_routes(self, interface: int) -> Iterator[tuple[Address, Address | None]]:
        """Those that birdctl made, of one interface: the address, and what the node talks to it from."""
        for of in Family:
            header = _ROUTE.pack(of.number, 0, 0, 0, TABLE_LOCAL, PROTOCOL, 0, _TYPE_LOCAL, 0)
            for reply in self.dump(RouteMessage(_GETROUTE, header + attribute(_RTA_OIF, _INT.pack(interface)))):
                found = attributes(reply, _ROUTE.size)
                source = found.get(_RTA_PREFSRC)
                yield unpacked(found[_RTA_DST]), unpacked(source) if source else None

    def has_rule(self, of: Family, priority: int) -> bool:
        """One that birdctl made."""
        return any(
            found.get(_FRA_PRIORITY) == _UNSIGNED.pack(priority) and found.get(_FRA_PROTOCOL) == bytes([PROTOCOL])
            for reply in self.dump(RouteMessage(_GETRULE, _RULE.pack(of.number, *[0] * 8)))
            for found in (attributes(reply, _RULE.size),)
        )

    def do(self, messages: Iterable[Message], *tolerated: int) -> None:
        """Raises BackendError with the first reason, unless it is tolerated; the other messages are done anyway."""
        numbers = [each for each in self.request(messages).values() if each not in tolerated]
        if numbers:
            raise BackendError(f"{self._who}: {os.strerror(numbers[0])}")


def new_link(name: str, kind: str, flags: int, data: bytes = b"") -> Message:
    """Makes the link unless there is one of the name; sets its flags."""
    body = _link(name, flags) + nested(
        _IFLA_LINKINFO, attribute(_INFO_KIND, kind.encode()), nested(_INFO_DATA, data) if data else b""
    )
    return RouteMessage(_NEWLINK, body, NLM_F_CREATE)


def new_tunnel_end(name: str, local: Address) -> Message:
    """Takes what is sent to `local` in a packet of its own family (RFC 2003, RFC 2473), from anybody."""
    data = attribute(_IPTUN_LOCAL, local.packed)
    if family(local) is Family.IPV4:
        return new_link(name, "ipip", UP, data)
    return new_link(name, "ip6tnl", UP, data + attribute(_IPTUN_PROTO, bytes([IPPROTO_IPV6])))


def set_alias(interface: int, alias: str) -> Message:
    return RouteMessage(_NEWLINK, _LINK.pack(0, 0, interface, 0, 0) + attribute(_IFLA_IFALIAS, alias.encode()))


def set_conf(interface: int, conf: Mapping[int, int]) -> Message:
    """Settings of IPv4 on this interface."""
    values = (attribute(number, _UNSIGNED.pack(value)) for number, value in conf.items())
    body = nested(_IFLA_AF_SPEC, nested(Family.IPV4.number, nested(_INET_CONF, *values)))
    return RouteMessage(_NEWLINK, _LINK.pack(0, 0, interface, 0, 0) + body)


def delete_link(name: str) -> Message:
    return RouteMessage(_DELLINK, _link(name))


def _link(name: str, flags: int = 0) -> bytes:
    return _LINK.pack(0, 0, 0, flags, flags) + attribute(_IFLA_IFNAME, name.encode() + b"\0")


def new_address(address: Address, interface: int) -> Message:
    """A host address that nobody asks for on the link, and that the kernel chooses as a source for nothing."""
    body = _address(address, interface)
    if family(address) is Family.IPV6:
        body += attribute(_IFA_CACHEINFO, _LIFETIME.pack(0, _FOR_EVER, 0, 0))
    return RouteMessage(_NEWADDR, body, NLM_F_CREATE)


def delete_address(address: Address, interface: int) -> Message:
    return RouteMessage(_DELADDR, _address(address, interface))


def _address(address: Address, interface: int) -> bytes:
    header = _ADDRESS.pack(family(address).number, address.max_prefixlen, _IFA_F_NODAD, _SCOPE_HOST, interface)
    return header + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)


def new_local_route(address: Address, interface: int, source: Address | None) -> Message:
    """What is sent to `address` arrives here; the node itself talks to it from `source`."""
    body = _local_route(address, interface)
    if source is not None:
        body += attribute(_RTA_PREFSRC, source.packed)
    return RouteMessage(_NEWROUTE, body, NLM_F_CREATE)


def delete_local_route(address: Address, interface: int) -> Message:
    return RouteMessage(_DELROUTE, _local_route(address, interface))


def _local_route(address: Address, interface: int) -> bytes:
    header = _ROUTE.pack(
        family(address).number, address.max_prefixlen, 0, 0, TABLE_LOCAL, PROTOCOL, _SCOPE_HOST, _TYPE_LOCAL, 0
    )
    return header + attribute(_RTA_DST, address.packed) + attribute(_RTA_OIF, _INT.pack(interface))


def new_local_default(of: Family, table: int, interface: int) -> Message:
    """Every destination arrives here, for whom a rule sends to the table."""
    return RouteMessage(_NEWROUTE, _local_default(of, table, interface), NLM_F_CREATE | NLM_F_EXCL)


def delete_local_default(of: Family, table: int, interface: int) -> Message:
    return RouteMessage(_DELROUTE, _local_default(of, table, interface))


def _local_default(of: Family, table: int, interface: int) -> bytes:
    header = _ROUTE.pack(of.number, 0, 0, 0, table, PROTOCOL, _SCOPE_HOST, _TYPE_LOCAL, 0)
    return header + attribute(_RTA_OIF, _INT.pack(interface))


def new_mark_rule(of: Family, priority: int, mark: int, mask: int, table: int) -> Message:
    """Looks packets with the mark up in the table."""
    return RouteMessage(_NEWRULE, _mark_rule(of, priority, mark, mask, table), NLM_F_CREATE | NLM_F_EXCL)


def delete_mark_rule(of: Family, priority: int, mark: int, mask: int, table: int) -> Message:
    return RouteMessage(_DELRULE, _mark_rule(of, priority, mark, mask, table))


def _mark_rule(of: Family, priority: int, mark: int, mask: int, table: int) -> bytes:
    return (
        _RULE.pack(of.number, 0, 0, 0, table, 0, 0, _TO_TABLE, 0)
        + attribute(_FRA_PRIORITY, _UNSIGNED.pack(priority))
        + attribute(_FRA_FWMARK, _UNSIGNED.pack(mark))
        + attribute(_FRA_FWMASK, _UNSIGNED.pack(mask))
        + attribute(_FRA_PROTOCOL, bytes([PROTOCOL]))
    )
