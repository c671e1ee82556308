"""The kernel's connections: some of them, and their end.

A connection is known by who began it, whom it asked for, and where it really went after address translation. The kernel
sorts out by IPv4 addresses and by ports; by an IPv6 address it would give all connections but those (to 6.18 at least).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from birdctl.addresses import Address, Family, unpacked
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter.model import PROTOCOLS
from birdctl.netfilter.netlink import Message, Netlink, attribute, attributes, nested

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_ORIGINAL, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_TYPE, _ICMPV6_TYPE = 1, 2, 3, 5, 8
_BY_SOURCE = (1).to_bytes(4, "little")
"""CTA_FILTER_F_CTA_IP_SRC: of the tuple only the source address counts."""
_BY_DESTINATION = {Family.IPV4: (2 | 8 | 32).to_bytes(4, "little"), Family.IPV6: (8 | 32).to_bytes(4, "little")}
"""CTA_FILTER_F_CTA_IP_DST, _PROTO_NUM and _PROTO_DST_PORT: only the destination, its protocol and port count."""
_FEW = 16
"""So many ports are looked for one by one, by the kernel; for more a walk over everything is cheaper."""
_SOURCE_V4, _DESTINATION_V4 = 1, 2
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_LENGTH = struct.Struct("=H")
_ATTRIBUTE_HEADER = 4
_ADDRESS_AT = 3 * _ATTRIBUTE_HEADER
"""Bytes from the start of a tuple to its source address, behind three attribute headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One connection: who began it (`source`), whom it asked for, where it really went (`destination`), and whom the
    answers are sent to.

    `answers_to` is not the source when its address is translated. `port` is the type of an ICMP; 0 where there is none.
    """

    family: Family
    protocol: str
    source: Address
    source_port: int
    asked: Address
    asked_port: int
    destination: Address
    port: int
    answers_to: Address
    handle: bytes = field(repr=False, compare=False)


class Conntrack:
    """The connections of this network namespace; `close` it in the end."""

    def __init__(self) -> None:
        self._netlink = Netlink("conntrack")

    def close(self) -> None:
        self._netlink.close()

    def flows(self, family: Family, addresses: Collection[Address] | None) -> Iterator[Flow]:
        """Those that one of the addresses began, or that really went to one; None: all. Raises Unavailable."""
        if addresses is None:
            yield from (_flow(family, reply) for reply in self._walk(family))
            return
        wanted = frozenset(each.packed for each in addresses if each.max_prefixlen == family.bits)
        width = family.bits // 8
        seen: set[bytes] = set()
        for reply in self._dump(family, wanted):
            (first,) = _LENGTH.unpack_from(reply)
            begun_by = reply[_ADDRESS_AT : _ADDRESS_AT + width]
            went_to = reply[first + _ADDRESS_AT : first + _ADDRESS_AT + width]
            if (begun_by in wanted or went_to in wanted) and reply[:first] not in seen:
                seen.add(reply[:first])
                yield _flow(family, reply)

    def _dump(self, family: Family, wanted: frozenset[bytes]) -> Iterator[bytes]:
        """The kernel sorts out one address; for more a walk over everything is cheaper."""
        if not wanted:
            return iter(())
        if len(wanted) > 1 or family is Family.IPV6:
            return self._walk(family)
        (address,) = wanted
        return chain.from_iterable(
            self._walk(family, _source_filter(address, direction)) for direction in (_ORIGINAL, _REPLY)
        )

    def asking_for(self, family: Family, protocol: str, ports: Collection[tuple[Address, int]]) -> Iterator[Flow]:
        """Those of the protocol that asked for one of these, wherever they went. Raises Unavailable."""
        wanted = frozenset((address, port) for address, port in ports if address.max_prefixlen == family.bits)
        addresses = frozenset(address.packed for address, _ in wanted)
        start = _ADDRESS_AT + family.bits // 8 + _ATTRIBUTE_HEADER
        for reply in self._asking(family, PROTOCOLS[protocol], wanted):
            if reply[start : start + family.bits // 8] in addresses:
                found = _flow(family, reply)
                if found.protocol == protocol and (found.asked, found.asked_port) in wanted:
                    yield found

    def _asking(self, family: Family, protocol: int, wanted: Collection[tuple[Address, int]]) -> Iterator[bytes]:
        if len(wanted) > _FEW:
            return self._walk(family)
        return chain.from_iterable(
            self._walk(family, _destination_filter(family, protocol, *each)) for each in sorted(wanted)
        )

    def _walk(self, family: Family, only: bytes = b"") -> Iterator[bytes]:
        try:
            yield from self._netlink.dump(Message(_SUBSYSTEM | _GET, only, family=family.number))
        except OSError as error:
            raise Unavailable(f"connections cannot be read (load the module nf_conntrack_netlink): {error}") from None

    def delete(self, flows: Iterable[Flow]) -> None:
        """Those that ended by themselves are no error. Raises BackendError."""
        messages = [Message(_SUBSYSTEM | _DELETE, each.handle, family=each.family.number) for each in flows]
        numbers = {number for number in self._netlink.request(messages).values() if number != errno.ENOENT}
        if numbers:
            raise BackendError(f"connections cannot be cut: error {min(numbers)}")


def _source_filter(address: bytes, direction: int) -> bytes:
    by = nested(_FILTER, attribute(direction, _BY_SOURCE))
    return by + nested(direction, nested(_TUPLE_IP, attribute(_SOURCE_V4, address)))


def _destination_filter(family: Family, protocol: int, address: Address, port: int) -> bytes:
    by = nested(_FILTER, attribute(_ORIGINAL, _BY_DESTINATION[family]))
    end = nested(_TUPLE_IP, attribute(_DESTINATION_V4, address.packed)) if family is Family.IPV4 else b""
    number = attribute(_NUMBER, bytes([protocol])) + attribute(_DESTINATION_PORT, port.to_bytes(2, "big"))
    return by + nested(_ORIGINAL, end, nested(_TUPLE_PROTO, number))


def _flow(family: Family, reply: bytes) -> Flow:
    parts = attributes(reply)
    source, asked = _addresses(parts[_ORIGINAL])
    destination, answers_to = _addresses(parts[_REPLY])
    begun, answered = (attributes(attributes(parts[kind])[_TUPLE_PROTO]) for kind in (_ORIGINAL, _REPLY))
    number = begun[_NUMBER][0]
    (first,) = _LENGTH.unpack_from(reply)
    return Flow(
        family=family,
        protocol=_NAMES.get(number, str(number)),
        source=source,
        source_port=_number(begun, _SOURCE_PORT),
        asked=asked,
        asked_port=_number(begun, _DESTINATION_PORT),
        destination=destination,
        port=_number(answered, _SOURCE_PORT) or _number(begun, _ICMP_TYPE) or _number(begun, _ICMPV6_TYPE),
        answers_to=answers_to,
        handle=reply[:first] + (attribute(_ID, parts[_ID]) if _ID in parts else b""),
    )


def _addresses(part: bytes) -> tuple[Address, Address]:
    """Source and destination of a tuple."""
    source, destination = attributes(attributes(part)[_TUPLE_IP]).values()
    return unpacked(source), unpacked(destination)


def _number(protocol: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(protocol.get(kind, b""), "big")
