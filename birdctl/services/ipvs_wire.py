"""IPVS over generic netlink (linux/ip_vs.h): changes to messages, and dumps back to values. Pure.

Scheduler flag 3, which no scheduler of the kernel uses, says that a virtual server is ours.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import msgspec

from birdctl.addresses import Address, Family
from birdctl.netfilter.model import PROTOCOLS
from birdctl.netfilter.netlink import Message, attribute, attributes, nested
from birdctl.services.ipvs_change import ServerChange, Step
from birdctl.services.ipvs_proc import FoundReal
from birdctl.services.model import (
    Connections,
    Forwarding,
    Mark,
    Port,
    Protocol,
    RealServer,
    Scheduler,
    SchedulerFlag,
    ServerKey,
    Traffic,
    VirtualServer,
)

NETLINK_GENERIC = 16

_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_NEW_SERVICE, _SET_SERVICE, _DEL_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_DEST, _SET_DEST, _DEL_DEST, _GET_DEST = 5, 6, 7, 8
_SET_CONFIG = 12
_SERVICE, _DEST, _TIMEOUT_TCP, _TIMEOUT_FIN, _TIMEOUT_UDP = 1, 2, 4, 5, 6
_AF, _PROTOCOL, _ADDR, _PORT, _FWMARK = 1, 2, 3, 4, 5
_SCHED_NAME, _FLAGS, _TIMEOUT, _NETMASK, _STATS64 = 6, 7, 8, 9, 12
_DEST_ADDR, _DEST_PORT, _FORWARDING, _WEIGHT, _UPPER, _LOWER = 1, 2, 3, 4, 5, 6
_ACTIVE, _INACTIVE, _DEST_FAMILY = 7, 8, 11
_F_PERSISTENT, _F_OURS = 0x01, 0x20
_FLAG_BITS = {SchedulerFlag.FLAG_1: 0x08, SchedulerFlag.FLAG_2: 0x10}
_FLAGS_MASK = 0x39
"""The flags that we decide about: persistence and those of the scheduler."""

_IPVS = b"IPVS\0"
_HEADER = struct.Struct("=BBH")
_IPVS_VERSION = 1
_PROTOCOLS = {each: PROTOCOLS[each.lower()] for each in Protocol}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_FORWARDINGS = {Forwarding.MASQUERADE: 0, Forwarding.TUNNEL: 2}
_FORWARDING_NAMES = {number: name for name, number in _FORWARDINGS.items()}
_SCHEDULERS = {each.value: each for each in Scheduler}
_NETMASKS = {Family.IPV4: b"\xff\xff\xff\xff", Family.IPV6: struct.pack("=I", 128)}
"""Affinity of every client alone: a mask for IPv4, a length for IPv6."""
_IN_TABLES = frozenset({Scheduler.DH, Scheduler.SH, Scheduler.MH})
"""Schedulers that compute a table anew with every real server that comes: 0.2 ms each for mh, all in vain but one."""


class Command(Message):
    """A request of generic netlink."""

    __slots__ = ()
    skipped = _HEADER.size

    def __init__(self, kind: int, command: int, body: bytes) -> None:
        self.kind = kind
        self.flags = 0
        self.body = _HEADER.pack(command, _IPVS_VERSION, 0) + body


class Found(NamedTuple):
    """A virtual server of a dump, without its real servers."""

    server: VirtualServer
    traffic: Traffic


def ask_family() -> Message:
    """Makes the kernel load IPVS, where that is a module; its reply says nothing that the list does not."""
    return Command(_CONTROL, _GET_FAMILY, attribute(_FAMILY_NAME, _IPVS))


def list_families() -> Message:
    return Command(_CONTROL, _GET_FAMILY, b"")


def family_id(replies: Iterable[bytes]) -> int | None:
    """The number that IPVS has in this kernel, from the replies to `list_families`; None when it has none."""
    return next((_int(each[_FAMILY_ID]) for each in map(attributes, replies) if each[_FAMILY_NAME] == _IPVS), None)


def list_servers(kind: int) -> Message:
    return Command(kind, _GET_SERVICE, b"")


def list_real_servers(kind: int, key: ServerKey) -> Message:
    """Asks for those of one virtual server: there is no request for all."""
    return Command(kind, _GET_DEST, _named(key))


def timeouts(kind: int, tcp: int, fin: int, udp: int) -> Message:
    """In seconds; 0 leaves one as it is."""
    values = (_number(_TIMEOUT_TCP, tcp), _number(_TIMEOUT_FIN, fin), _number(_TIMEOUT_UDP, udp))
    return Command(kind, _SET_CONFIG, b"".join(values))


def messages(kind: int, change: ServerChange) -> Iterator[Message]:
    """What brings the change about, in order."""
    server, step = change.server, change.step
    if step is Step.DELETE:
        yield Command(kind, _DEL_SERVICE, _named(server.key))
        return
    settled_later = step is Step.CREATE and server.scheduler in _IN_TABLES and len(change.coming) > 1
    if settled_later:
        yield _server(kind, _NEW_SERVICE, msgspec.structs.replace(server, scheduler=Scheduler.RR))
    elif step is not Step.KEEP:
        yield _server(kind, _NEW_SERVICE if step is Step.CREATE else _SET_SERVICE, server)
    yield from _real_servers(kind, change)
    if settled_later:
        yield _server(kind, _SET_SERVICE, server)


def _server(kind: int, command: int, server: VirtualServer) -> Message:
    return Command(kind, command, nested(_SERVICE, _identity(server.key), _settings(server)))


def _real_servers(kind: int, change: ServerChange) -> Iterator[Message]:
    name = _named(change.server.key)
    forwarding = _number(_FORWARDING, _FORWARDINGS[change.server.forwarding])
    for command, real_servers in ((_NEW_DEST, change.coming), (_SET_DEST, change.changing)):
        for each in real_servers:
            settings = (forwarding, _number(_WEIGHT, each.weight), _NO_THRESHOLDS)
            yield Command(kind, command, name + nested(_DEST, _endpoint(each), *settings))
    for each in change.going:
        yield Command(kind, _DEL_DEST, name + nested(_DEST, _endpoint(each)))


def is_deletion(message: Message) -> bool:
    return message.body[0] in (_DEL_SERVICE, _DEL_DEST)


def subject(message: Message) -> str:
    """What a change is about, for people: a real server, or the virtual server and its scheduler."""
    found = attributes(message.body, _HEADER.size)
    if _DEST in found:
        real = attributes(found[_DEST])
        address = _address(real[_DEST_ADDR], is_v4=len(real[_DEST_ADDR]) == 4)  # noqa: PLR2004
        return f"real server {address} port {_port(real[_DEST_PORT])}"
    scheduler = attributes(found[_SERVICE]).get(_SCHED_NAME, b"")
    return f"virtual server with scheduler {_text(scheduler)}" if scheduler else "virtual server"


def found_server(reply: bytes) -> Found | None:
    """What a reply to `list_servers` tells; None for a protocol that no Service has.

    Of others' only the key is exact: they may have settings that we have no names for.
    """
    found = attributes(attributes(reply)[_SERVICE])
    key = _key(found)
    if key is None:
        return None
    flags = _int(found[_FLAGS][:4])
    scheduler = _SCHEDULERS.get(_text(found[_SCHED_NAME]))
    server = VirtualServer(
        key=key,
        scheduler=scheduler or Scheduler.RR,
        flags=frozenset(flag for flag, bit in _FLAG_BITS.items() if flags & bit),
        persistence_seconds=_int(found[_TIMEOUT]) if flags & _F_PERSISTENT else 0,
        ours=bool(flags & _F_OURS and scheduler),
    )
    return Found(server, _traffic(attributes(found[_STATS64])))


def found_real(reply: bytes, family: Family) -> FoundReal:
    """What a reply to `list_real_servers` of a virtual server of this family tells."""
    found = attributes(attributes(reply)[_DEST])
    address = _address(found[_DEST_ADDR], is_v4=family is Family.IPV4)
    return FoundReal(
        RealServer(address=address, port=_port(found[_DEST_PORT]), weight=_int(found[_WEIGHT])),
        _FORWARDING_NAMES.get(_int(found[_FORWARDING]), Forwarding.OTHER),
        Connections(active=_int(found[_ACTIVE]), inactive=_int(found[_INACTIVE])),
    )


def _named(key: ServerKey) -> bytes:
    return nested(_SERVICE, _identity(key))


def _identity(key: ServerKey) -> bytes:
    if isinstance(key, Mark):
        return _short(_AF, key.family.number) + _number(_FWMARK, key.mark)
    return b"".join(
        (
            _short(_AF, key.family.number),
            _short(_PROTOCOL, _PROTOCOLS[key.protocol]),
            attribute(_ADDR, key.address.packed),
            attribute(_PORT, key.port.to_bytes(2, "big")),
        )
    )


def _settings(server: VirtualServer) -> bytes:
    flags = sum((_FLAG_BITS[each] for each in server.flags), start=_F_OURS)
    if server.persistence_seconds:
        flags |= _F_PERSISTENT
    return b"".join(
        (
            attribute(_SCHED_NAME, server.scheduler.encode() + b"\0"),
            attribute(_FLAGS, struct.pack("=II", flags, _FLAGS_MASK)),
            _number(_TIMEOUT, server.persistence_seconds),
            attribute(_NETMASK, _NETMASKS[server.family]),
        )
    )


def _endpoint(server: RealServer) -> bytes:
    return attribute(_DEST_ADDR, server.address.packed) + attribute(_DEST_PORT, server.port.to_bytes(2, "big"))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, sys.byteorder))


def _short(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(2, sys.byteorder))


_NO_THRESHOLDS = _number(_UPPER, 0) + _number(_LOWER, 0)


def _key(found: dict[int, bytes]) -> ServerKey | None:
    is_v4 = _int(found[_AF]) == Family.IPV4.number
    if _FWMARK in found:
        return Mark(mark=_int(found[_FWMARK]), family=Family.IPV4 if is_v4 else Family.IPV6)
    protocol = _PROTOCOL_NAMES.get(_int(found[_PROTOCOL]))
    if protocol is None:
        return None
    return Port(address=_address(found[_ADDR], is_v4=is_v4), protocol=protocol, port=_port(found[_PORT]))


def _address(value: bytes, *, is_v4: bool) -> Address:
    """The kernel always gives room for IPv6."""
    return IPv4Address(value[:4]) if is_v4 else IPv6Address(value)


def _port(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _int(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _traffic(found: dict[int, bytes]) -> Traffic:
    """The kernel numbers them as the fields stand."""
    return Traffic(**{name: _int(found[kind]) for kind, name in enumerate(Traffic.__struct_fields__, start=1)})
