"""One service: a pure function of it, its slices and what decides about every service alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from birdctl.addresses import Address, Family
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import EndpointSlice, Labels, Service
from birdctl.cluster.serviceaddresses import HEADLESS_LABEL, has_no_addresses
from birdctl.errors import InputError
from birdctl.services.compile.answers import Answers, answers
from birdctl.services.compile.backends import Backend, Backends, Slice, State, read_slice, united
from birdctl.services.compile.direct import goes_directly
from birdctl.services.compile.fronts import Front, Fronts
from birdctl.services.compile.part import MISSING, Omission, Served, ServicePart
from birdctl.services.compile.ports import NamedPort, checked_port, named_ports
from birdctl.services.compile.sources import allowed_sources
from birdctl.services.compile.surroundings import Context
from birdctl.services.compile.wishes import wishes
from birdctl.services.model import Forwarding, HealthCheck, Owner, Port, RealServer, VirtualServer

_PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
_OWN_NAMES = ("birdctl", "kube-router")


def service_part(
    service: Service, slices: Collection[EndpointSlice], context: Context, hosts: Mapping[Address, str]
) -> ServicePart:
    """`hosts` names the node of every node's address."""
    reason = _left_alone(service)
    if reason:
        return ServicePart(service=service.key, left_alone=reason)
    return _Compilation(service, context, hosts).run(slices)


def without_service(key: str, slices: Iterable[EndpointSlice]) -> ServicePart | None:
    """What is to be said of slices whose service is not there."""
    problem = f"there is no Service {key}: nothing is served"
    field = "metadata.labels[kubernetes.io/service-name]"
    problems = tuple(InputError(each.ref, field, problem) for each in slices if not is_for_others(each.metadata.labels))
    return ServicePart(service=key, left_alone=MISSING, problems=problems) if problems else None


def is_for_others(labels: Labels) -> str:
    """Why a Service or EndpointSlice with these labels is none of ours, empty when it is."""
    if HEADLESS_LABEL in labels:
        return f"has the label {HEADLESS_LABEL}"
    proxy = labels.get(_PROXY_LABEL)
    return "" if proxy is None or proxy in _OWN_NAMES else f"is for the proxy {proxy!r}"


def _left_alone(service: Service) -> str:
    reason = is_for_others(service.metadata.labels)
    if reason or not has_no_addresses(service):
        return reason
    if service.spec.type == "ExternalName":
        return "is a name only (type ExternalName)"
    return "is headless" if "None" in (service.spec.cluster_ip, *service.spec.cluster_ips) else "has no cluster IP"


class _Compilation:
    """Of one service, once."""

    def __init__(self, service: Service, context: Context, hosts: Mapping[Address, str]) -> None:
        self._service = service
        self._context = context
        self._hosts = hosts
        self._faults = Faults(service.ref)
        self._problems: list[InputError] = []  # of slices
        self._wishes = wishes(service, context.options, self._faults)
        self._sources = allowed_sources(service, self._faults)
        self._omitted: list[Omission] = []
        self._served: dict[Port, Served] = {}
        self._hairpin: set[Port] = set()

    def run(self, slices: Collection[EndpointSlice]) -> ServicePart:
        fronts = Fronts(self._service, self._context, self._hosts, self._faults, self._omitted).find()
        read = self._read(slices)
        ports = tuple(named_ports(self._service, self._context.options.service_node_port_range, self._faults))
        for port in ports:
            self._tell_missing(port, read)
        for family in self._context.families:
            if of_family := [front for front in fronts if front.family is family]:
                self._serve(of_family, {port: united(read, family, port.name) for port in ports})
        health_checks = self._health_checks(read)
        return ServicePart(
            service=self._service.key,
            served=self._served,
            hairpin=frozenset(self._hairpin),
            health_checks=health_checks,
            terminating={each.address: each.pod for one in read for each in one.backends if each.pod and each.drains},
            looks_at_nodes=bool(self._service.spec.external_ips or self._service.status.load_balancer.ingress),
            omitted=tuple(self._omitted),
            problems=(*self._faults, *self._problems),
        )

    def _read(self, slices: Collection[EndpointSlice]) -> list[Slice]:
        found = []
        for each in slices:
            if is_for_others(each.metadata.labels):
                continue
            faults = Faults(each.ref)
            read = read_slice(each, self._service, faults)
            self._problems += faults
            if read:
                found.append(read)
            elif not faults:
                self._omit(each.ref, f"addresses of type {each.address_type} are not served")
        return found

    def _tell_missing(self, port: NamedPort, slices: Collection[Slice]) -> None:
        numbers = [each.ports[port.name] for each in slices if port.name in each.ports]
        if not numbers:
            self._omit(port.text, "no EndpointSlice has a port of this name and protocol")
        elif None in numbers:
            self._omit(port.text, "an EndpointSlice gives the port no number")

    def _serve(self, fronts: Sequence[Front], ports: Mapping[NamedPort, Backends]) -> None:
        """All ports at all addresses of a family."""
        direct = self._wishes.direct and any(front.direct for front in fronts)
        direct = direct and goes_directly(ports, self._hosts, self._faults)
        for port, backends in ports.items():
            found = answers(backends, self._wishes, self._context)
            for reason in found.reasons:
                self._omit(f"{fronts[0].family} {port.text}", reason)
            for front in fronts:
                number = port.node_port if front.kind == "NodePort" else port.port
                key = Port(address=front.address, protocol=port.protocol, port=number)
                if number and key not in self._served:
                    self._served[key] = self._one(key, port, front, found, direct=direct and front.direct)

    def _one(self, key: Port, port: NamedPort, front: Front, found: Answers, *, direct: bool) -> Served:
        choice = found.external if front.external else found.internal
        pods = frozenset(address for address in found.local if address not in self._hosts)
        servers = choice.real_servers
        if direct:
            servers = tuple(each for each in servers if each.address not in self._hosts)
        elif self._wishes.hairpin_external if front.placed else self._wishes.hairpin:
            self._hairpin.update(_local_ports(key, servers, found.local))
        server = VirtualServer(
            key=key,
            scheduler=self._wishes.scheduler,
            flags=self._wishes.flags,
            persistence_seconds=self._wishes.persistence_seconds,
            forwarding=Forwarding.TUNNEL if direct else Forwarding.MASQUERADE,
            real_servers=servers,
            owner=Owner(
                service=self._service.key,
                port_name=port.name[0],
                kind=front.kind,
                address=key.address,
                protocol=key.protocol,
                port=key.port,
            ),
        )
        return Served(
            server=server,
            held=front.held and not direct,
            inside_only=front.external and found.inside_only,
            sources=self._sources.get(front.family) if front.kind == "LoadBalancerIP" else None,
            direct=pods if direct else None,
        )

    def _health_checks(self, slices: Collection[Slice]) -> dict[int, HealthCheck]:
        port = self._service.spec.health_check_node_port
        if not port or not self._wishes.external_local:
            return {}
        if not checked_port("spec.healthCheckNodePort", port, self._faults):
            return {}
        ready = {family: set[Address]() for family in Family}
        for each in slices:
            ready[each.family].update(backend.address for backend in each.backends if self._is_ready_here(backend))
        number = max(len(addresses) for addresses in ready.values())
        return {port: HealthCheck(service=self._service.key, local_endpoints=number)}

    def _is_ready_here(self, backend: Backend) -> bool:
        return backend.state is State.READY and backend.node == self._context.node

    def _omit(self, what: str, reason: str) -> None:
        self._omitted.append(Omission(what=what, reason=reason))


def _local_ports(key: Port, servers: Iterable[RealServer], local: Collection[Address]) -> Iterator[Port]:
    for server in servers:
        if server.address in local:
            yield Port(address=server.address, protocol=key.protocol, port=server.port)
