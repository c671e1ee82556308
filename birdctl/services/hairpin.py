"""Bridge ports that send a pod's packet back to it: what a pod sends to its own service comes in and goes out there.

With br_netfilter a packet that was routed on a bridge keeps the port it came from, which it would not leave by. The
port is found as the bridge itself finds it: by the pod's MAC address, which the node's neighbour table has. A pod
on no bridge needs nothing. A port stays so until it goes with its pod: the container runtime may want the same.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection

from birdctl.addresses import Address
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.services import neighbours

_PATIENCE = 0.1
"""Seconds in which a pod says who it is."""
_PAUSE = 0.002


class HairpinPorts:
    """Of this network namespace's bridges; `close` it in the end."""

    def __init__(self) -> None:
        self._kernel = RouteNetlink("bridge ports")
        self._done: frozenset[Address] = frozenset()

    def close(self) -> None:
        self._kernel.close()

    def apply(self, pods: Collection[Address], *, verify: bool = False) -> dict[Address, str]:
        """Lets these pods of this node reach themselves. Those that are not found, with the reason; the next call tries
        again. `verify`: also those that were found before. Raises BackendError.
        """
        missing: set[Address] = set()
        for bridge, behind in self._by_bridge(pods if verify else frozenset(pods) - self._done).items():
            found = self._ports(bridge, behind)
            self._kernel.do([neighbours.hairpin(port) for port in set(found.values())])
            missing |= behind - found.keys()
        self._done = frozenset(pods) - missing
        return dict.fromkeys(missing, "it does not answer on its bridge")

    def _by_bridge(self, pods: Collection[Address]) -> dict[int, set[Address]]:
        behind: dict[int, set[Address]] = defaultdict(set)
        bridges = self._kernel.bridges() if pods else frozenset()
        for pod in pods:
            way = self._kernel.way_to(pod)
            if way in bridges:
                behind[way].add(pod)
        return behind

    def _ports(self, bridge: int, pods: Collection[Address]) -> dict[Address, int]:
        """Those that say in time where they are."""
        found = self._seen(bridge, pods)
        silent = [pod for pod in pods if pod not in found]
        if not silent:
            return found
        macs = neighbours.macs(self._kernel, bridge)
        self._kernel.do([neighbours.probe(pod, bridge, macs.get(pod)) for pod in silent])
        deadline = time.monotonic() + _PATIENCE
        while len(found) < len(pods) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            found = self._seen(bridge, pods)
        return found

    def _seen(self, bridge: int, pods: Collection[Address]) -> dict[Address, int]:
        macs, ports = neighbours.macs(self._kernel, bridge), neighbours.ports(self._kernel, bridge)
        return {pod: ports[mac] for pod in pods if (mac := macs.get(pod)) in ports}
