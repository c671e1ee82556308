"""When routes appear in and vanish from the kernels of many machines, told by the kernels themselves.

One netlink socket a machine, subscribed to its IPv4 routes: no polling, so the observer costs next to nothing of the
cores that the measured programs share.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address
from typing import Self

from tests.bench.network import inside

_ROUTES_IPV4 = 0x40  # RTMGRP_IPV4_ROUTE
_NEW, _DELETED = 24, 25
_DESTINATION = 1  # RTA_DST
_BIRD = 12  # RTPROT_BIRD
_MESSAGE = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")


class Observer:
    """`since[machine][prefix]` is when BIRD's route came (monotonic seconds); `lost` are the deletions."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.since: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self.lost: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._open = True
        for machine in machines:
            self._watch(machine)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _watch(self, machine: str) -> None:
        with inside(machine):
            routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        routes.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        routes.bind((0, _ROUTES_IPV4))
        self._selector.register(routes, selectors.EVENT_READ, machine)

    def forget(self) -> None:
        """Starts a new measurement: what was seen so far is forgotten."""
        with self._changed:
            self.since.clear()
            self.lost.clear()

    def wait(self, satisfied: Callable[[], bool], timeout: float, what: str) -> None:
        """Until `satisfied`, which is asked after every change. Raises TimeoutError naming `what`."""
        with self._changed:
            if not self._changed.wait_for(satisfied, timeout):
                counts = {machine: len(routes) for machine, routes in self.since.items()}
                raise TimeoutError(f"{what}: not within {timeout:g} s; routes seen {counts}")

    def _run(self) -> None:
        while self._open:
            for key, _ in self._selector.select(0.5):
                data = key.fileobj.recv(1 << 16)
                now = time.monotonic()
                with self._changed:
                    for type_, prefix in _routes(data):
                        self._take(key.data, type_, prefix, now)
                    self._changed.notify_all()

    def _take(self, machine: str, type_: int, prefix: str, now: float) -> None:
        if type_ == _NEW:
            self.since[machine].setdefault(prefix, now)
        elif type_ == _DELETED:
            self.since[machine].pop(prefix, None)
            self.lost.append((machine, prefix))


def _routes(data: bytes) -> Iterator[tuple[int, str]]:
    """Message type and prefix of each of BIRD's routes in a datagram."""
    offset = 0
    while offset < len(data):
        length, type_, *_ = _MESSAGE.unpack_from(data, offset)
        body = offset + _MESSAGE.size
        _, bits, _, _, _, origin, *_ = _ROUTE.unpack_from(data, body)
        if origin == _BIRD:
            yield type_, f"{_destination(data[body + _ROUTE.size : offset + length])}/{bits}"
        offset += (length + 3) & ~3


def _destination(attributes: bytes) -> IPv4Address:
    while attributes:
        length, type_ = _ATTRIBUTE.unpack_from(attributes)
        if type_ == _DESTINATION:
            return IPv4Address(attributes[4:length])
        attributes = attributes[(length + 3) & ~3 :]
    return IPv4Address(0)
