"""When an address of the node comes or goes: node ports may be on it."""

from __future__ import annotations

import socket
from contextlib import suppress

_NETLINK_ROUTE = 0
_IPV4_ADDRESSES, _IPV6_ADDRESSES = 0x10, 0x100
"""RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
_LONGEST = 1 << 16


class AddressWatch:
    """Readable (`fileno`) when something has changed since the last `take`; `close` it in the end."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.bind((0, _IPV4_ADDRESSES | _IPV6_ADDRESSES))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> None:
        """Everything told so far; what was too much to be told was told enough."""
        with suppress(OSError):
            while self._socket.recv(_LONGEST):
                pass

    def close(self) -> None:
        self._socket.close()
