"""Direct server return: whether the endpoints of a service can answer clients themselves.

A tunnelled packet gets to the pod as the client sent it, port included, and only inside a pod is somebody who unpacks
it. It is all ports or none, and the same on every node: where a VIP is held, no pod's answer from it gets through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from birdctl.addresses import Address
from birdctl.cluster.faults import Faults
from birdctl.services.compile.backends import Backends
from birdctl.services.compile.ports import NamedPort

_THROUGH_HERE = "answers go back through this node"


def goes_directly(ports: Mapping[NamedPort, Backends], hosts: Collection[Address], faults: Faults) -> bool:
    """Whether a tunnel reaches endpoints of every port; a fault where it does not. `hosts` are no pods."""
    found = [_is_direct(port, backends, hosts, faults) for port, backends in ports.items()]  # tells all faults
    return all(found)


def _is_direct(port: NamedPort, backends: Backends, hosts: Collection[Address], faults: Faults) -> bool:
    others = sorted(({number for _, number in backends} | {port.target or port.port}) - {port.port})
    if others:
        problem = f"is {port.port}, and endpoints have {others[0]}; with service.dsr both must be one: {_THROUGH_HERE}"
        faults.add(f"{port.field}.port", problem)
        return False
    on_hosts = [str(each.address) for each in backends.values() if each.address in hosts]
    if on_hosts:
        ending = "left out" if len(on_hosts) < len(backends) else _THROUGH_HERE
        problem = f"service.dsr does not reach pods with hostNetwork, as {', '.join(on_hosts)}: {ending}"
        faults.add(f"{port.field}.port", problem)
    return not on_hosts or len(on_hosts) < len(backends)
