"""Direct server return: whether the endpoints of a port can answer clients themselves.

A tunnelled packet gets to the pod as the client sent it, port included, and only inside a pod is somebody who unpacks
it.
"""

from __future__ import annotations

from collections.abc import Collection

from birdctl.addresses import Address
from birdctl.cluster.faults import Faults
from birdctl.services.compile.backends import Backends
from birdctl.services.compile.ports import NamedPort
from birdctl.services.model import RealServer

_THROUGH_HERE = "answers go back through this node"


def tunnelled(
    port: NamedPort,
    backends: Backends,
    servers: Collection[RealServer],
    hosts: Collection[Address],
    faults: Faults,
) -> tuple[RealServer, ...] | None:
    """Those of `servers` that a tunnel reaches; None, and a fault, when there is no way. `hosts` are no pods."""
    others = sorted(({number for _, number in backends} | {port.target or port.port}) - {port.port})
    if others:
        problem = f"is {port.port}, and endpoints have {others[0]}; with service.dsr both must be one: {_THROUGH_HERE}"
        faults.add(f"{port.field}.port", problem)
        return None
    pods = tuple(server for server in servers if server.address not in hosts)
    if len(pods) == len(servers):
        return pods
    on_hosts = ", ".join(str(server.address) for server in servers if server.address in hosts)
    ending = "left out" if pods else _THROUGH_HERE
    faults.add(f"{port.field}.port", f"service.dsr does not reach pods with hostNetwork, as {on_hosts}: {ending}")
    return pods or None
