"""What goes through the services of a node, read beside the loop, which must not wait for a scrape."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from birdctl.errors import Unavailable
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.model import Owner, ServerKey, Traffic, VirtualServer

log = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""The kernel averages its rates anew this often."""


class ServiceTraffic(NamedTuple):
    """Of one address and port of a Service, since its virtual server was made."""

    owner: Owner
    traffic: Traffic


class TrafficMeter:
    """For any thread; `close` it in the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ipvs: IpvsBackend | None = None
        self._found: Mapping[ServerKey, Traffic] = {}
        self._read_at = -math.inf

    def read(self, servers: Mapping[ServerKey, VirtualServer]) -> tuple[ServiceTraffic, ...]:
        """Of those of `servers` that are in the kernel; what was there last when that does not answer."""
        with self._lock:
            self._refresh()
        return tuple(
            ServiceTraffic(server.owner, self._found[key])
            for key, server in servers.items()
            if server.owner and key in self._found
        )

    def close(self) -> None:
        with self._lock:
            if self._ipvs:
                self._ipvs.close()
            self._ipvs = None

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return
        try:
            self._ipvs = self._ipvs or IpvsBackend()
            self._found = self._ipvs.traffic()
        except Unavailable as error:
            log.warning("traffic of services cannot be counted: %s", error)
        self._read_at = time.monotonic()
