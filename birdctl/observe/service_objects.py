"""What the objects make of one Service on one node: addresses, policies, endpoints, virtual servers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from birdctl.addresses import Address, Family, Prefix, family
from birdctl.cluster import pools
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Service, ServicePort
from birdctl.cluster.store import Cluster
from birdctl.errors import BirdctlError, InputError
from birdctl.observe import services
from birdctl.observe.listing import some
from birdctl.observe.views import Service as Server
from birdctl.observe.views import Step, View
from birdctl.routing.compile.services import UNPROGRAMMED, Considered
from birdctl.services.compile import ServicePart
from birdctl.services.compile.backends import Backend, State, read_slice
from birdctl.services.compile.service import is_for_others
from birdctl.services.compile.wishes import Wishes, wishes
from birdctl.services.model import ServiceState, VirtualServer
from birdctl.services.options import ServiceOptions

_LISTED = 8
"""How many ports or endpoints a step names."""


class Announced(View, frozen=True, kw_only=True):
    """What routing decides about one address: the rules that ask for it ("": the defaults), why it is held back."""

    address: str
    rules: tuple[str, ...] = ()
    reason: str | None = None


class ServiceObjects(View, frozen=True, kw_only=True):
    """One Service on one node, as far as objects tell. `servers` are its virtual servers as they should be, `held` the
    addresses on the VIP device, `announced` None where there is no routing.
    """

    node: str
    service: str
    steps: tuple[Step, ...]
    servers: tuple[Server, ...] = ()
    held: tuple[str, ...] = ()
    announced: tuple[Announced, ...] | None = None


def describe(
    cluster: Cluster,
    key: str,
    *,
    node: str,
    options: ServiceOptions,
    part: ServicePart | None,
    state: ServiceState,
    problems: Iterable[InputError],
) -> ServiceObjects:
    """`part` is what the service became, `state` what the whole node should hold; those of `problems` that are the
    service's are told. Raises InputError when there is no such service.
    """
    service = _service(cluster, key)
    part = part or ServicePart(service=key, left_alone="is new, and was not looked at yet")
    refs = {service.ref, *(each.ref for each in cluster.slices_of(key))}
    own = {str(each): each for each in problems if each.origin in refs}
    served = _Steps(cluster=cluster, service=service, node=node, options=options, part=part, state=state)
    return ServiceObjects(
        node=node,
        service=key,
        steps=(
            _itself(service, part),
            *(Step(subject="problem", holds=False, text=_told(each, service)) for each in own.values()),
            *(() if part.left_alone else served.all()),
        ),
        servers=services.wanted(node, (each for each in state.virtual_servers.values() if _is_of(each, key))),
        held=tuple(dict.fromkeys(str(port.address) for port, each in part.served.items() if each.held)),
    )


def with_routing(
    found: ServiceObjects, decided: Iterable[Considered], held_down: Mapping[str, float]
) -> ServiceObjects:
    """`held_down`: for how many seconds a service's addresses may not be announced again."""
    seconds = held_down.get(found.service)
    waits = f"it was withdrawn a moment ago, and may be announced again in {seconds:.0f} s" if seconds else ""
    announced = (
        Announced(
            address=str(each.address),
            rules=tuple(sorted(each.rules)),
            reason=(waits if each.reason == UNPROGRAMMED and waits else each.reason) or None,
        )
        for each in decided
    )
    return replace(found, announced=tuple(announced))


def without_routing(found: ServiceObjects, error: BirdctlError) -> ServiceObjects:
    """Nothing is known of what routing decides."""
    return replace(found, steps=(*found.steps, Step(subject="BGP", holds=False, text=str(error))), announced=())


def _service(cluster: Cluster, key: str) -> Service:
    service = cluster.get(Service, key)
    if service:
        return service
    if error := cluster.errors.get((Service.__name__, key)):
        raise error
    raise InputError("SERVICE", "", f"there is no Service {key}; expected NAMESPACE/NAME")


def _is_of(server: VirtualServer, key: str) -> bool:
    return server.owner is not None and server.owner.service == key


def _told(problem: InputError, service: Service) -> str:
    return str(problem).removeprefix(f"{service.ref}: ")


def _itself(service: Service, part: ServicePart) -> Step:
    if part.left_alone:
        return Step(subject="service", holds=False, text=f"nothing is served: it {part.left_alone}")
    ports = some([_port(each) for each in service.spec.ports], _LISTED) or "no ports"
    return Step(subject="service", text=f"type {service.spec.type}, {ports}")


def _port(port: ServicePort) -> str:
    name = f"{port.name} " if port.name else ""
    node_port = f", node port {port.node_port}" if port.node_port else ""
    return f"{name}{port.port}/{port.protocol} to {port.target_port or port.port}{node_port}"


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Of a service that something is done for."""

    cluster: Cluster
    service: Service
    node: str
    options: ServiceOptions
    part: ServicePart
    state: ServiceState

    @cached_property
    def wishes(self) -> Wishes:
        return wishes(self.service, self.options, Faults(""))

    @cached_property
    def weights(self) -> Mapping[Family, Mapping[str, Mapping[Address, int]]]:
        """Of endpoints, by the kinds of addresses that they are behind."""
        found: dict[Family, dict[str, dict[Address, int]]] = {}
        for served in self.part.served.values():
            of_kind = found.setdefault(served.server.family, {}).setdefault(served.owner.kind, {})
            for each in served.server.real_servers:
                of_kind[each.address] = max(of_kind.get(each.address, 0), each.weight)
        return found

    def all(self) -> Iterator[Step]:
        yield from self._addresses()
        yield from self._left_out()
        yield Step(subject="policy", text=", ".join(_policy(self.service, self.wishes)))
        yield from self._endpoints()
        for port in sorted(self.state.inside_only & self.part.served.keys(), key=str):
            text = f"{port} answers the cluster's own alone: its traffic stays local, and no endpoint is here"
            yield Step(subject="policy", holds=False, text=text)

    def _addresses(self) -> Iterator[Step]:
        owners = (served.owner for served in self.part.served.values())
        for kind, address in dict.fromkeys((each.kind, each.address) for each in owners):
            origin = f", {self._origin(address)}" if kind == "LoadBalancerIP" else ""
            yield Step(subject="address", holds=True, text=f"{kind} {address}{origin}")
        if self.service.spec.type == "LoadBalancer" and not self.service.status.load_balancer.ingress:
            yield Step(subject="address", holds=False, text="nobody has given it a load balancer address yet")

    def _origin(self, address: Address) -> str:
        """Where a load balancer address may come from."""
        for pool in self.cluster.objects(AddressPool).values():
            if _within(address, pools.read(pool, self.options.service_cluster_ip_range).prefixes):
                return f"of {pool.ref}"
        in_settings = _within(address, self.options.loadbalancer_ip_range)
        return "of --loadbalancer-ip-range" if in_settings else "of no pool"

    def _left_out(self) -> Iterator[Step]:
        """What of endpoints is left out, those themselves tell."""
        groups: dict[str, list[str]] = {}
        for each in self.part.omitted:
            if not each.what.startswith(tuple(Family)):
                groups.setdefault(each.reason, []).append(each.what)
        for reason, what in groups.items():
            yield Step(subject="left out", holds=False, text=f"{some(what, _LISTED)}: {reason}")

    def _endpoints(self) -> Iterator[Step]:
        groups: dict[tuple[bool, str], list[str]] = {}
        for each in self._backends():
            groups.setdefault(self._verdict(each), []).append(_name(each))
        for (holds, reason), names in sorted(groups.items(), reverse=True):
            yield Step(subject="endpoints", holds=holds, text=f"{len(names)} {reason}: {some(names, _LISTED)}")
        if not groups:
            yield Step(subject="endpoints", holds=False, text="no EndpointSlice names any")

    def _backends(self) -> Iterator[Backend]:
        """Each once, the best of what is said of it."""
        found: dict[Address, Backend] = {}
        for each in self.cluster.slices_of(self.service.key):
            read = None if is_for_others(each.metadata.labels) else read_slice(each, self.service, Faults(""))
            for backend in read.backends if read else ():
                known = found.setdefault(backend.address, backend)
                if known.state < backend.state:
                    found[backend.address] = backend
        return iter(found.values())

    def _verdict(self, backend: Backend) -> tuple[bool, str]:
        """Whether it serves somewhere, and the rest of the sentence."""
        kinds = self.weights.get(family(backend.address), {})
        serving = [kind for kind, weights in kinds.items() if weights.get(backend.address)]
        if serving:
            return True, "serve" if len(serving) == len(kinds) else f"serve at {' and '.join(serving)} alone"
        drains = any(backend.address in weights for weights in kinds.values())
        return False, "drain, on their way out" if drains else self._reason(backend, has_address=bool(kinds))

    def _reason(self, backend: Backend, *, has_address: bool) -> str:
        if not has_address:
            return f"not used: the service has no {family(backend.address)} address here"
        if backend.state is State.NOT_READY:
            return "not ready"
        if backend.state is not State.READY:
            return "terminating"
        if backend.node != self.node and (self.wishes.internal_local or self.wishes.external_local):
            return "on other nodes, and traffic stays local"
        return "meant for other nodes or zones" if backend.nodes or backend.zones else "without a port of the service's"


def _policy(service: Service, found: Wishes) -> Iterator[str]:
    flags = f" ({', '.join(sorted(found.flags))})" if found.flags else ""
    yield f"scheduler {found.scheduler}{flags}"
    if found.persistence_seconds:
        yield f"a client keeps its endpoint for {found.persistence_seconds} s"
    for local, which in ((found.external_local, "external"), (found.internal_local, "internal")):
        if local:
            yield f"{which} traffic stays on this node"
    if service.spec.traffic_distribution:
        yield f"traffic distribution {service.spec.traffic_distribution}"
    if found.direct:
        yield "endpoints answer clients directly"
    if ranges := service.spec.load_balancer_source_ranges:
        yield f"load balancer addresses are for {', '.join(ranges)} alone"
    if service.spec.publish_not_ready_addresses:
        yield "endpoints that are not ready count"


def _name(backend: Backend) -> str:
    where = " on ".join(filter(None, (backend.pod, backend.node)))
    return f"{backend.address} ({where})" if where else str(backend.address)


def _within(address: Address, prefixes: Iterable[Prefix]) -> bool:
    return any(address in prefix for prefix in prefixes)
