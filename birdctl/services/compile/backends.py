"""Endpoints of a service: read from its slices, united by port, each once."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

import msgspec

from birdctl.addresses import Address, Family
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Endpoint, EndpointSlice, Service
from birdctl.services.compile.hosts import host_of
from birdctl.services.compile.ports import PortName, checked_port, checked_protocol
from birdctl.services.compile.wishes import DISTRIBUTIONS
from birdctl.services.model import Value


class State(enum.IntEnum):
    """What an endpoint is good for (KEP-1669), the better the larger."""

    NOT_READY = 0
    ENDING = 1
    SERVING_TO_ITS_END = 2
    READY = 3


class Backend(Value, frozen=True, kw_only=True, gc=False):
    """One endpoint. `nodes` and `zones` are those it is meant for, `pod` the key of the Pod behind it."""

    address: Address
    state: State
    node: str
    nodes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    pod: str = ""

    @property
    def drains(self) -> bool:
        """It is on its way out."""
        return self.state in (State.ENDING, State.SERVING_TO_ITS_END)


Place = tuple[int, int]
"""Address and port as numbers: in order, and each endpoint of a family once."""

Backends = dict[Place, Backend]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What one EndpointSlice says. A port without a number is None: nothing can be sent to it."""

    family: Family
    ports: dict[PortName, int | None]
    backends: tuple[Backend, ...]


def read_slice(each: EndpointSlice, service: Service, faults: Faults) -> Slice | None:
    """None when nothing of it can be used, as a slice of host names."""
    if each.address_type not in tuple(Family):
        if each.address_type != "FQDN":
            faults.add("addressType", f"expected IPv4, IPv6 or FQDN, got {each.address_type!r}")
        return None
    own = Family(each.address_type)
    return Slice(family=own, ports=_ports(each, faults), backends=tuple(_backends(each, own, service, faults)))


def united(slices: Iterable[Slice], family: Family, name: PortName) -> Backends:
    """The endpoints of one port, in order; of several entries for one endpoint the best counts."""
    found: Backends = {}
    for each in slices:
        number = each.ports.get(name)
        if each.family is not family or number is None:
            continue
        for backend in each.backends:
            place = (int(backend.address), number)
            before = found.get(place)
            if before is None or before.state < backend.state:
                found[place] = backend
    return dict(sorted(found.items()))


def _ports(each: EndpointSlice, faults: Faults) -> dict[PortName, int | None]:
    found: dict[PortName, int | None] = {}
    for index, port in enumerate(each.ports):
        protocol = checked_protocol(f"ports[{index}]", port.protocol, faults)
        if protocol is None or not (port.port is None or checked_port(f"ports[{index}].port", port.port, faults)):
            continue
        if (port.name, protocol) in found:
            faults.add(f"ports[{index}].name", f"{port.name!r} is there twice; the first counts")
        else:
            found[port.name, protocol] = port.port
    return found


def _backends(each: EndpointSlice, own: Family, service: Service, faults: Faults) -> Iterator[Backend]:
    unready_too, distribution = service.spec.publish_not_ready_addresses, service.spec.traffic_distribution
    for index, endpoint in enumerate(each.endpoints):
        field = f"endpoints[{index}].addresses"
        if not endpoint.addresses:
            faults.add(field, "expected an address")
            continue
        try:  # only the first one means something (discovery.k8s.io/v1)
            address = host_of(endpoint.addresses[0], own)
        except ValueError as error:
            faults.add(f"{field}[0]", str(error))
            continue
        target, hints = endpoint.target_ref, endpoint.hints
        yield Backend(
            address=address,
            state=State.READY if unready_too else _state(endpoint),
            node=endpoint.node_name,
            nodes=tuple(hint.name for hint in hints.for_nodes) or _own_node(endpoint, distribution),
            zones=tuple(hint.name for hint in hints.for_zones) or _own_zone(endpoint, distribution),
            pod=f"{target.namespace or each.namespace}/{target.name}" if target and target.kind == "Pod" else "",
        )


def _state(endpoint: Endpoint) -> State:
    conditions = endpoint.conditions
    if conditions.is_ready:
        return State.READY
    if not conditions.is_terminating:
        return State.NOT_READY
    return State.SERVING_TO_ITS_END if conditions.is_serving else State.ENDING


def _own_node(endpoint: Endpoint, distribution: str) -> tuple[str, ...]:
    """What the control plane writes as hint for this distribution, for slices that have none."""
    return (endpoint.node_name,) if endpoint.node_name and distribution == "PreferSameNode" else ()


def _own_zone(endpoint: Endpoint, distribution: str) -> tuple[str, ...]:
    return (endpoint.zone,) if endpoint.zone and distribution in DISTRIBUTIONS else ()
