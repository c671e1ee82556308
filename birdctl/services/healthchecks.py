"""What load balancers outside ask on a Service's `healthCheckNodePort`: has this node endpoints of it?

All ports are one thread's. The answer is kube-proxy's: 200 with endpoints, 503 without or while the proxy fails.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from birdctl.services.model import HealthCheck

PATIENCE = 5.0
"""Seconds that a client may take for its request."""
_PAUSE = 0.1
_CONNECTIONS = 256
_LONGEST_REQUEST = 8192
_BACKLOG = 64


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    port: int
    until: float
    request: bytes = b""


class HealthCheckServer:
    """Answers on the ports of the last `update`, until `close`. The thread starts with the first port."""

    def __init__(self) -> None:
        self._checks: Mapping[int, HealthCheck] = {}
        self._healthy = True
        self._listeners: dict[int, socket.socket] = {}
        self._ports: dict[int, int] = {}
        self._connections: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._thread: threading.Thread | None = None

    def update(self, checks: Mapping[int, HealthCheck], *, healthy: bool) -> dict[int, str]:
        """Answers for these, by port, from now on. Returns why a port cannot be had."""
        self._checks, self._healthy = checks, healthy
        if checks.keys() == self._listeners.keys():
            return {}
        for port in self._listeners.keys() - checks.keys():
            self._stop(port)
        refused = {}
        for port in checks.keys() - self._listeners.keys():
            try:
                self._listen(port)
            except OSError as error:
                refused[port] = os.strerror(error.errno) if error.errno else str(error)
        if self._listeners and not self._thread:
            self._thread = threading.Thread(target=self._run, name="health checks", daemon=True)
            self._thread.start()
        return refused

    def close(self) -> None:
        self.update({}, healthy=False)
        if self._thread:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        for each in self._connections.values():
            each.socket.close()
        self._poll.close()
        os.close(self._wake)

    def _listen(self, port: int) -> None:
        dual = socket.has_dualstack_ipv6()
        listener = socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=dual,
        )
        listener.setblocking(False)
        self._listeners[port] = listener
        self._ports[listener.fileno()] = port
        self._poll.register(listener, select.EPOLLIN)

    def _stop(self, port: int) -> None:
        listener = self._listeners.pop(port)
        self._poll.unregister(listener)
        del self._ports[listener.fileno()]
        listener.close()

    # In the thread.

    def _run(self) -> None:
        while True:
            for number, _ in self._poll.poll(PATIENCE if self._connections else None):
                if number == self._wake:
                    return
                if port := self._ports.get(number):
                    self._accept(port)
                elif connection := self._connections.get(number):
                    self._read(connection)
            self._give_up(time.monotonic())

    def _accept(self, port: int) -> None:
        try:
            made, _ = self._listeners[port].accept()
        except KeyError:
            return  # the service left
        except OSError:  # the client left, or this process has too much open, which epoll would say without end
            time.sleep(_PAUSE)
            return
        if len(self._connections) >= _CONNECTIONS:
            made.close()
            return
        made.setblocking(False)
        self._connections[made.fileno()] = _Connection(made, port, time.monotonic() + PATIENCE)
        self._poll.register(made, select.EPOLLIN)

    def _read(self, connection: _Connection) -> None:
        with suppress(OSError):
            piece = connection.socket.recv(_LONGEST_REQUEST)
            connection.request += piece
            if piece and b"\r\n\r\n" not in connection.request and len(connection.request) < _LONGEST_REQUEST:
                return
            if piece:
                connection.socket.send(self._answer(connection.port))
        self._end(connection)

    def _give_up(self, now: float) -> None:
        for connection in [each for each in self._connections.values() if each.until <= now]:
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        del self._connections[connection.socket.fileno()]
        self._poll.unregister(connection.socket)
        connection.socket.close()

    def _answer(self, port: int) -> bytes:
        check = self._checks.get(port)
        if check is None:
            return _response("404 Not Found", b"", 0)
        namespace, _, name = check.service.rpartition("/")
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": check.local_endpoints,
            "serviceProxyHealthy": self._healthy,
        }
        good = self._healthy and check.local_endpoints > 0
        status = "200 OK" if good else "503 Service Unavailable"
        return _response(status, msgspec.json.encode(body), check.local_endpoints)


def _response(status: str, body: bytes, weight: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Load-Balancing-Endpoint-Weight: {weight}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body
