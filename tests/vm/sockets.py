"""Both ends of connections between namespaces, in this process: a socket stays in the namespace it was made in.

A server answers whatever it is sent with a line: its name, and the address and port that it was sent from.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from types import TracebackType
from typing import Self

from birdctl.addresses import Address
from birdctl.services.model import Protocol
from tests.bird.daemon import Namespace

_KINDS = {
    Protocol.TCP: (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    Protocol.UDP: (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    Protocol.SCTP: (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_ANYWHERE: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Answer:
    """Who answered, and whom it saw."""

    name: str
    peer: Address
    port: int


def _socket(namespace: Namespace, protocol: Protocol, family: socket.AddressFamily) -> socket.socket:
    with namespace.inside():
        made = socket.socket(family, *_KINDS[protocol])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


class Connection:
    """From a namespace to an address, for as long as it is not closed. Raises OSError as sockets do."""

    def __init__(
        self,
        namespace: Namespace,
        address: Address | str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source: tuple[str, int] = _ANYWHERE,
        timeout: float = 10.0,
    ) -> None:
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
        self._socket = _socket(namespace, protocol, family)
        self._socket.settimeout(timeout)
        try:
            if source != _ANYWHERE:
                self._socket.bind(source)
            self._socket.connect((str(address), port))
        except OSError:
            self.close()
            raise

    def ask(self) -> Answer:
        """Raises ConnectionResetError also where the other end has closed."""
        self._socket.send(b"?")
        if not (line := self._socket.recv(200)):
            raise ConnectionResetError
        name, peer, port = line.decode().split()
        return Answer(name, ip_address(peer), int(port))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Servers:
    """All servers, in one thread. Those of a namespace listen on every address of it."""

    def __init__(self) -> None:
        self._sockets: dict[Namespace, list[socket.socket]] = defaultdict(list)
        self._ready = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def listen(self, namespace: Namespace, name: str, port: int, protocol: Protocol = Protocol.TCP) -> None:
        server = _socket(namespace, protocol, socket.AF_INET6)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind(("::", port))
        if protocol is not Protocol.UDP:
            server.listen(256)
        with self._lock:
            self._watch(server, namespace, name)

    def stop(self, namespace: Namespace) -> None:
        """Its servers, and their connections."""
        with self._lock:
            for each in self._sockets.pop(namespace, ()):
                self._forget(each)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for namespace in list(self._sockets):
            self.stop(namespace)
        self._ready.close()

    def _watch(self, one: socket.socket, namespace: Namespace, name: str) -> None:
        one.setblocking(False)
        self._sockets[namespace].append(one)
        self._ready.register(one, selectors.EVENT_READ, (namespace, name))

    def _forget(self, one: socket.socket) -> None:
        self._ready.unregister(one)
        one.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            for key, _ in self._ready.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                with self._lock, suppress(OSError):
                    if key.fileobj in self._sockets.get(key.data[0], ()):
                        self._answer(key.fileobj, *key.data)

    def _answer(self, one: socket.socket, namespace: Namespace, name: str) -> None:
        if one.type == socket.SOCK_DGRAM:
            _, where, _, peer = one.recvmsg(200, 100)
            one.sendmsg([_line(name, peer)], [(level, kind, to[:16] + bytes(4)) for level, kind, to in where], 0, peer)
        elif one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._watch(one.accept()[0], namespace, name)
        else:
            try:
                asked = one.recv(200)
            except ConnectionError:
                asked = b""
            if asked:
                one.send(_line(name, one.getpeername()))
            else:
                self._sockets[namespace].remove(one)
                self._forget(one)


def _line(name: str, peer: tuple[str, int]) -> bytes:
    address = ip_address(peer[0].partition("%")[0])
    seen = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
    return f"{name} {seen} {peer[1]}\n".encode()
