"""Netlink to netfilter, packed by hand: a change of the kernel's sets or connections costs microseconds this way.

A socket stays open for the life of its owner. Only the last message of a send asks for an acknowledgement; the kernel
reports errors of the others as well, and answers in order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from birdctl.errors import Unavailable

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x300, 0x200, 0x400
NLA_F_NESTED, NLA_F_NET_BYTEORDER, _NLA_TYPE = 0x8000, 0x4000, 0x3FFF
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 16, 17
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_BUFFER = 8 << 20
_SEND = 1 << 20
_RECEIVE = 1 << 18
_TIMEOUT = 10.0


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded; `kind` with its flags."""
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """The attributes in `data` from `start`, of several of one kind the last."""
    return dict(each_attribute(data, start))


def each_attribute(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    end = len(data)
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        yield kind & _NLA_TYPE, data[start + 4 : start + length]
        start += (length + 3) & ~3


class Message:
    """A request of a netfilter subsystem, without the fields that the socket fills in."""

    __slots__ = ("body", "flags", "kind")
    skipped = _GENERIC.size
    """Bytes at the start of a reply that say nothing new."""

    def __init__(self, kind: int, body: bytes, flags: int = 0, family: int = 0, resource: int = 0) -> None:
        self.kind = kind
        self.flags = flags
        self.body = _GENERIC.pack(family, 0, socket.htons(resource)) + body


class Netlink:
    """An open socket. `who` is named in the errors ("ipset"). Raises Unavailable when the kernel lacks it."""

    def __init__(self, who: str, protocol: int = NETLINK_NETFILTER) -> None:
        self._who = who
        self._sequence = 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        except OSError as error:
            raise Unavailable(f"the kernel has no netlink for {who}: {error.strerror}") from None
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            self._set_buffer(option)

    def _set_buffer(self, option: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        except PermissionError as error:
            self.close()
            raise Unavailable(f"{self._who} may not be used (CAP_NET_ADMIN): {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, messages: Iterable[Message]) -> Mapping[int, int]:
        """Sends all; the error numbers by the messages' positions. An error at one does not stop the rest."""
        errors: dict[int, int] = {}
        pending: list[Message] = []
        done = size = 0
        for message in messages:
            pending.append(message)
            size += len(message.body)
            if size > _SEND:
                errors.update(self._exchange(pending, done))
                done, size, pending = done + len(pending), 0, []
        if pending:
            errors.update(self._exchange(pending, done))
        return errors

    def transaction(self, message: Message) -> int:
        """Sends it in the batch that nf_tables takes changes in; the kernel's error number, 0 when it is done."""
        begin, end = (Message(kind, b"", resource=message.kind >> 8) for kind in (_BATCH_BEGIN, _BATCH_END))
        first = self._sequence + 1
        self._socket.sendall(self._packed(begin, 0) + self._packed(message, NLM_F_ACK) + self._packed(end, 0))
        while True:
            for kind, sequence, body in self._receive():
                if kind == _NLMSG_ERROR and sequence >= first:
                    return _number(body)

    def _exchange(self, messages: list[Message], done: int) -> Iterator[tuple[int, int]]:
        first = self._sequence + 1
        flags = [*[0] * (len(messages) - 1), NLM_F_ACK]
        self._socket.sendall(b"".join(self._packed(each, flag) for each, flag in zip(messages, flags, strict=True)))
        acknowledged = False
        while not acknowledged:
            for kind, sequence, body in self._receive():
                if kind != _NLMSG_ERROR or sequence < first:
                    continue
                number = _number(body)
                acknowledged = acknowledged or sequence == self._sequence
                if number:
                    yield done + sequence - first, number

    def dump(self, message: Message) -> Iterator[bytes]:
        """The bodies of the replies, after what the message skips. Raises OSError with the kernel's error number."""
        self._socket.sendall(self._packed(message, NLM_F_DUMP))
        while True:
            for kind, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    number = _number(body)
                    raise OSError(number, f"{self._who} error {number}")
                yield body[message.skipped :]

    def _packed(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(message.body)
        flags |= NLM_F_REQUEST | message.flags
        header = _HEADER.pack(length, message.kind, flags, self._sequence, 0)
        return header + message.body + b"\0" * (-length % 4)

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            data = self._socket.recv(_RECEIVE)
        except TimeoutError:
            raise Unavailable(f"the kernel does not answer about {self._who} for {_TIMEOUT:g} s") from None
        start = 0
        while start < len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, start)
            yield kind, sequence, data[start + _HEADER.size : start + length]
            start += (length + 3) & ~3


def _number(body: bytes) -> int:
    """Of the error that a reply tells; 0 is an acknowledgement."""
    return -int.from_bytes(body[:4], "little", signed=True)
