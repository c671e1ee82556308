"""The ports of a service that can be served."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Service
from birdctl.services.model import Protocol

MOST_PORTS = 1000  # of one service: each is a virtual server at each address, and the node is for all services
_HIGHEST = 65535
_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}

PortName = tuple[str, Protocol]
"""What ties a service's port to those of its slices."""


class NamedPort(msgspec.Struct, frozen=True, kw_only=True):
    """`field` is where it stands. `target` is the number endpoints must have, None when the service leaves it open."""

    field: str
    name: PortName
    port: int
    node_port: int
    target: int | None

    @property
    def text(self) -> str:
        """As a person calls it: `port http (80/TCP)`."""
        return " ".join(filter(None, ("port", self.name[0], f"({self.port}/{self.protocol})")))

    @property
    def protocol(self) -> Protocol:
        return self.name[1]


def named_ports(service: Service, node_ports: tuple[int, int], faults: Faults) -> Iterator[NamedPort]:
    """The good ports of `service`: each number and each name once, and no more than one service may have."""
    taken: set[object] = set()
    ports = service.spec.ports
    if len(ports) > MOST_PORTS:
        problem = f"{len(ports)} ports are more than {MOST_PORTS}: the others are not served; split the service"
        faults.add(f"spec.ports[{MOST_PORTS}]", problem)
    for index, each in enumerate(ports[:MOST_PORTS]):
        field = f"spec.ports[{index}]"
        protocol = checked_protocol(field, each.protocol, faults)
        if protocol is None or not checked_port(f"{field}.port", each.port, faults):
            continue
        if (each.port, protocol) in taken:
            faults.add(f"{field}.port", f"{each.port}/{protocol} is there twice; the first counts")
        elif each.name in taken:
            faults.add(f"{field}.name", f"{each.name!r} is there twice; each port needs a name of its own")
        else:
            taken |= {(each.port, protocol), each.name}
            yield NamedPort(
                field=field,
                name=(each.name, protocol),
                port=each.port,
                node_port=_node_port(f"{field}.nodePort", each.node_port, node_ports, faults),
                target=(each.target_port or each.port) if isinstance(each.target_port, int) else None,
            )


def checked_port(field: str, port: int, faults: Faults) -> bool:
    if 1 <= port <= _HIGHEST:
        return True
    faults.add(field, f"expected 1 to {_HIGHEST}, got {port}")
    return False


def checked_protocol(field: str, text: str, faults: Faults) -> Protocol | None:
    protocol = _PROTOCOLS.get(text)
    if protocol is None:
        faults.add(f"{field}.protocol", f"expected TCP, UDP or SCTP, got {text!r}")
    return protocol


def _node_port(field: str, port: int, allowed: tuple[int, int], faults: Faults) -> int:
    """0 when there is none, or none that is allowed."""
    low, high = allowed
    if not port or low <= port <= high:
        return port
    faults.add(field, f"{port} is not within {low}-{high} of --service-node-port-range: not served")
    return 0
