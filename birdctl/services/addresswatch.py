"""The node's own addresses, and when one of them comes or goes: what else is there is not the services' to refuse."""

from __future__ import annotations

import socket
from contextlib import suppress

from birdctl.addresses import Address
from birdctl.errors import BackendError
from birdctl.services.links import VipDevice

_NETLINK_ROUTE = 0
_IPV4_ADDRESSES, _IPV6_ADDRESSES = 0x10, 0x100
"""RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
_LONGEST = 1 << 16


class AddressWatch:
    """Of this network namespace. Readable (`fileno`) when some may have changed; `close` it in the end."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.bind((0, _IPV4_ADDRESSES | _IPV6_ADDRESSES))
        self._socket.setblocking(False)
        self._device = VipDevice()
        self._known: frozenset[Address] | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    def has_news(self) -> bool:
        """Whether they are others than `addresses` said; also when that cannot be found out."""
        if not self._told():
            return False
        before, self._known = self._known, None
        with suppress(BackendError):
            return self.addresses() != before
        return True

    def addresses(self) -> frozenset[Address]:
        """Those of every interface, as they are now. Raises BackendError."""
        if self._told() or self._known is None:
            self._known = self._device.local_addresses()
        return self._known

    def _told(self) -> bool:
        """Whether the kernel has told anything since the last call."""
        told = False
        try:
            while self._socket.recv(_LONGEST):
                told = True
        except BlockingIOError:
            return told
        except OSError:  # there was more to tell than room for it
            return True
        return told

    def close(self) -> None:
        self._device.close()
        self._socket.close()
