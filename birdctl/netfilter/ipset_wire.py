"""ipset's netlink protocol (include/uapi/linux/netfilter/ipset/ip_set.h, protocol 6): sets to messages and back. Pure.

Many entries go into one message (ADT), which costs a tenth of a message each; the kernel leaves out what follows an
entry that it refuses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from birdctl.addresses import Address, Family, Prefix, unpacked
from birdctl.netfilter.model import PROTOCOLS, Entry, IpSet, Net, Port, SetType
from birdctl.netfilter.netlink import (
    NLA_F_NESTED,
    NLA_F_NET_BYTEORDER,
    Message,
    attribute,
    attributes,
    each_attribute,
    nested,
)

_SUBSYSTEM = 6 << 8
_CREATE, _DESTROY, _LIST, _SAVE, _ADD, _DEL = 2, 3, 7, 8, 9, 10
_PROTOCOL, _SETNAME, _TYPENAME, _REVISION, _FAMILY, _FLAGS, _DATA, _ADT, _LINENO = 1, 2, 3, 4, 5, 6, 7, 8, 9
_IP, _CIDR, _PORT, _TIMEOUT, _PROTO, _CADT_FLAGS = 1, 3, 4, 6, 7, 8
_HASHSIZE, _MAXELEM, _IP2, _CIDR2 = 18, 19, 20, 21
_NOMATCH, _NAMES_ONLY = 4, 2
_PROTOCOL_VERSION = attribute(_PROTOCOL, b"\6")
_NO_LINE = attribute(_LINENO | NLA_F_NET_BYTEORDER, b"\0\0\0\0")
_LARGEST = 60_000
"""Bytes of entries in a message; an attribute's length has 16 bits."""
_REVISIONS = {SetType.IP: 0, SetType.NET: 2, SetType.IP_PORT: 1, SetType.IP_PORT_IP: 1, SetType.IP_PORT_NET: 1}
"""The oldest ones that have what is used here (nomatch since 2 of hash:net)."""
_TYPES = {kind.value: kind for kind in SetType}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def create(wanted: IpSet) -> Message:
    """An empty set, with as many buckets as it has entries. One that is there already, of the same type, is fine."""
    buckets = 1 << max(6, len(wanted.entries).bit_length())
    options = [_big(_HASHSIZE, buckets), _big(_MAXELEM, wanted.max_entries)]
    if wanted.timeout is not None:
        options.append(_big(_TIMEOUT, wanted.timeout))
    return _message(
        _CREATE,
        _name(wanted.name),
        attribute(_TYPENAME, wanted.type.encode() + b"\0"),
        attribute(_REVISION, bytes([_REVISIONS[wanted.type]])),
        attribute(_FAMILY, bytes([wanted.family.number])),
        nested(_DATA, *options),
    )


def destroy(name: str) -> Message:
    return _message(_DESTROY, _name(name))


def add(name: str, entries: Iterable[Entry]) -> Iterator[Message]:
    """What is in there already is no error."""
    return _members(_ADD, name, entries)


def delete(name: str, entries: Iterable[Entry]) -> Iterator[Message]:
    """What is not in there is no error."""
    return _members(_DEL, name, entries)


def names() -> Message:
    """Asks for every set's name."""
    return _message(_LIST, _big(_FLAGS, _NAMES_ONLY))


def contents(name: str) -> Message:
    """Asks for one set with its entries."""
    return _message(_SAVE, _name(name))


def name_of(reply: bytes) -> str:
    return attributes(reply)[_SETNAME].rstrip(b"\0").decode()


def parse(replies: Iterable[bytes]) -> IpSet | None:
    """The set in the replies to `contents`; None for a type that birdctl does not use.

    The entries of a set with a timeout are left out: they come and go.
    """
    header: dict[int, bytes] = {}
    entries: set[Entry] = set()
    for reply in replies:
        found = attributes(reply)
        if _TYPENAME in found:
            header = found
        if _type(header) is None:
            return None
        if _ADT in found and _TIMEOUT not in attributes(header[_DATA]):
            entries.update(_entries(_type(header), found[_ADT]))
    return _set(header, frozenset(entries)) if header else None


def ports(replies: Iterable[bytes]) -> frozenset[int]:
    """Those of all entries in the replies to `contents`, of whatever type that has ports."""
    adts = (found[_ADT] for reply in replies if _ADT in (found := attributes(reply)))
    entries = (attributes(data) for adt in adts for _, data in each_attribute(adt))
    return frozenset(int.from_bytes(entry[_PORT][:2], "big") for entry in entries if _PORT in entry)


def _set(header: dict[int, bytes], entries: frozenset[Entry]) -> IpSet:
    options = attributes(header[_DATA])
    return IpSet(
        name=header[_SETNAME].rstrip(b"\0").decode(),
        type=SetType(_text(header[_TYPENAME])),
        family=next(each for each in Family if each.number == header[_FAMILY][0]),
        entries=entries,
        timeout=int.from_bytes(options[_TIMEOUT], "big") if _TIMEOUT in options else None,
        max_entries=int.from_bytes(options[_MAXELEM], "big"),
    )


def _type(header: dict[int, bytes]) -> SetType | None:
    return _TYPES.get(_text(header[_TYPENAME]))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _message(command: int, *parts: bytes) -> Message:
    return Message(_SUBSYSTEM | command, _PROTOCOL_VERSION + b"".join(parts))


def _name(name: str) -> bytes:
    return attribute(_SETNAME, name.encode() + b"\0")


def _big(kind: int, value: int) -> bytes:
    return attribute(kind | NLA_F_NET_BYTEORDER, value.to_bytes(4, "big"))


def _members(command: int, name: str, entries: Iterable[Entry]) -> Iterator[Message]:
    """As few messages as hold the entries."""
    block: list[bytes] = []
    size = 0
    for entry in map(_packed, entries):
        if size + len(entry) > _LARGEST:
            yield _block(command, name, block)
            block, size = [], 0
        block.append(entry)
        size += len(entry)
    if block:
        yield _block(command, name, block)


def _block(command: int, name: str, entries: list[bytes]) -> Message:
    return _message(command, _name(name), _NO_LINE, nested(_ADT, *entries))


def _prefixed(kind: int, bits: int) -> bytes:
    """What stands before the address in an attribute that holds one, alone in its container."""
    length = 4 + bits // 8
    inner = struct.pack("=HH", length, (1 if bits == 32 else 2) | NLA_F_NET_BYTEORDER)  # noqa: PLR2004
    return struct.pack("=HH", length + 4, kind | NLA_F_NESTED) + inner


_HOST = {bits: struct.pack("=HH", 12 + bits // 8, _DATA | NLA_F_NESTED) + _prefixed(_IP, bits) for bits in (32, 128)}
"""Everything of a hash:ip entry but its address."""


def _packed(entry: Entry) -> bytes:
    if isinstance(entry, IPv4Address):
        return _HOST[32] + entry.packed
    if isinstance(entry, IPv6Address):
        return _HOST[128] + entry.packed
    if isinstance(entry, Net):
        parts = _address(_IP, entry.prefix.network_address) + attribute(_CIDR, bytes([entry.prefix.prefixlen]))
        return nested(_DATA, parts, _big(_CADT_FLAGS, _NOMATCH) if entry.excluded else b"")
    port = attribute(_PORT | NLA_F_NET_BYTEORDER, entry.port.to_bytes(2, "big"))
    return nested(
        _DATA,
        _address(_IP, entry.address),
        port,
        attribute(_PROTO, bytes([PROTOCOLS[entry.protocol]])),
        _peer(entry.peer),
    )


def _peer(peer: Address | Prefix | None) -> bytes:
    if peer is None:
        return b""
    if isinstance(peer, IPv4Network | IPv6Network):
        return _address(_IP2, peer.network_address) + attribute(_CIDR2, bytes([peer.prefixlen]))
    return _address(_IP2, peer)


def _address(kind: int, address: Address) -> bytes:
    return _prefixed(kind, address.max_prefixlen) + address.packed


def _entries(kind: SetType | None, adt: bytes) -> Iterable[Entry]:
    if kind is SetType.IP:
        return _hosts(adt)
    readers: dict[SetType | None, Callable[[dict[int, bytes]], Entry]] = {
        SetType.NET: _net,
        SetType.IP_PORT_NET: _port_and_net,
    }
    read = readers.get(kind, _port)
    return (read(attributes(data)) for _, data in each_attribute(adt))


def _hosts(adt: bytes) -> Iterator[Entry]:
    """All entries are of one length and end in the address."""
    if not adt:
        return iter(())
    (stride,) = struct.unpack_from("=H", adt)
    make: Callable[[bytes], Address] = IPv4Address if stride == len(_HOST[32]) + 4 else IPv6Address
    first = len(_HOST[32])
    return (make(adt[start + first : start + stride]) for start in range(0, len(adt), stride))


def _net(entry: dict[int, bytes]) -> Net:
    flags = int.from_bytes(entry.get(_CADT_FLAGS, b""), "big")
    return Net(prefix=_prefix(entry, _IP, _CIDR), excluded=bool(flags & _NOMATCH))


def _prefix(entry: dict[int, bytes], address: int, length: int) -> Prefix:
    bits = _value(entry[address])
    make: Callable[[tuple[bytes, int]], Prefix] = IPv4Network if len(bits) == 4 else IPv6Network  # noqa: PLR2004
    return make((bits, entry[length][0] if length in entry else len(bits) * 8))


def _port_and_net(entry: dict[int, bytes]) -> Port:
    return replace(_port(entry), peer=_prefix(entry, _IP2, _CIDR2))


def _port(entry: dict[int, bytes]) -> Port:
    return Port(
        address=_host(entry[_IP]),
        protocol=_PROTOCOL_NAMES.get(entry[_PROTO][0], str(entry[_PROTO][0])),
        port=int.from_bytes(entry[_PORT][:2], "big"),
        peer=_host(entry[_IP2]) if _IP2 in entry else None,
    )


def _value(holder: bytes) -> bytes:
    """The address inside of a nested attribute, without padding."""
    return next(iter(attributes(holder).values()))


def _host(holder: bytes) -> Address:
    return unpacked(_value(holder))
