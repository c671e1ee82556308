"""The services of a node: what the agent wants of the kernel, joined with the virtual servers that are there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from birdctl.addresses import Prefix, family, parse_address, parse_prefix, sort_key
from birdctl.errors import BackendError
from birdctl.observe.state import State
from birdctl.observe.views import Advertisement, RealServer, Service, TrafficCounts
from birdctl.services.model import (
    Activity,
    Connections,
    Endpoint,
    Mark,
    Owner,
    Port,
    Protocol,
    ServerKey,
    Traffic,
    VirtualServer,
)


class ServiceList(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent answers to `services`: each as it should be."""

    node: str
    items: tuple[Service, ...]


def reply(state: State) -> Mapping[str, Any]:
    """A ServiceList, for JSON. Raises BackendError when the agent has no services."""
    found = state.services
    if found is None:
        raise BackendError(f"services are not proxied on {state.node}: --run-service-proxy is off")
    servers = found.desired.virtual_servers.values() if found.desired else ()
    answer: dict[str, Any] = msgspec.to_builtins(ServiceList(node=state.node, items=wanted(state.node, servers)))
    return answer


def wanted(node: str, servers: Iterable[VirtualServer]) -> tuple[Service, ...]:
    """Virtual servers as they should be, with the names of their Services."""
    return tuple(_named(_shown(node, each), each.owner) for each in servers if each.owner)


def services(
    node: str,
    known: Iterable[Service] | None,
    servers: Mapping[ServerKey, VirtualServer],
    activity: Mapping[ServerKey, Activity],
) -> tuple[Service, ...]:
    """One for each of `known`, and for each that is ours in the kernel, by name. Without the agent's word (`known`
    None) nobody knows whose they are.
    """
    rest = dict(servers)
    found = [_joined(each, rest.pop(key_of(each), None), activity) for each in known or ()]
    state = None if known is None else "leaving"
    ours = (each for each in rest.values() if each.ours)
    found += [replace(_shown(node, each, activity.get(each.key)), state=state) for each in ours]
    return tuple(sorted(found, key=_order))


def key_of(service: Service) -> ServerKey:
    """What its virtual server is known by, of one that has the names of its Service."""
    address = parse_address(service.address or "")
    if service.mark is not None:
        return Mark(mark=service.mark, family=family(address))
    return Port(address=address, protocol=Protocol(service.protocol or ""), port=service.port or 0)


def differences(known: Service, found: VirtualServer | None) -> Iterator[str]:
    """In what the kernel's virtual server is not as it should be. Real servers of weight 0 may stay or be gone."""
    if found is None:
        yield "it is not in the kernel"
        return
    if not found.ours:
        yield "somebody else made it"
    is_there = _shown(known.node, found)
    for what in ("scheduler", "flags", "persistence_seconds", *(("forwarding",) if found.real_servers else ())):
        one, other = getattr(is_there, what), getattr(known, what)
        if one != other:
            yield f"{what.replace('_', ' ')}: {_text(one)} instead of {_text(other)}"
    yield from _different_real_servers(known.real_servers or (), is_there.real_servers or ())


def _different_real_servers(known: Iterable[RealServer], found: Iterable[RealServer]) -> Iterator[str]:
    there, desired = ({(each.address, each.port): each.weight for each in them} for them in (found, known))
    for (address, port), weight in desired.items():
        has = there.pop((address, port), None)
        if has is None and weight:
            yield f"real server {address} port {port} is missing"
        elif has is not None and has != weight:
            yield f"real server {address} port {port}: weight {has} instead of {weight}"
    yield from (f"real server {address} port {port} is no endpoint" for (address, port), each in there.items() if each)


def _text(value: object) -> str:
    return ",".join(value) or "none" if isinstance(value, tuple) else str(value)


def advertised(found: Iterable[Service], advertisements: Iterable[Advertisement]) -> Iterator[Service]:
    """Each with the peers that have its address, by itself or in an aggregate."""
    exact: dict[Prefix, tuple[str, ...]] = {}
    wider: dict[Prefix, tuple[str, ...]] = {}
    for each in advertisements:
        if each.source != "pod":
            prefix = parse_prefix(each.prefix)
            (exact if prefix.num_addresses == 1 else wider)[prefix] = each.advertised_to
    for service in found:
        if service.address is None or service.kind == "NodePort":
            yield replace(service, advertised_to=())
            continue
        address = parse_address(service.address)
        around = (peers for prefix, peers in wider.items() if address in prefix)
        peers = [*exact.get(parse_prefix(service.address), ()), *(peer for each in around for peer in each)]
        yield replace(service, advertised_to=tuple(dict.fromkeys(peers)))


def _joined(known: Service, found: VirtualServer | None, activity: Mapping[ServerKey, Activity]) -> Service:
    names = {field: getattr(known, field) for field in _NAMES}
    wrong = tuple(differences(known, found))
    if found is None:
        return Service(**names, state="missing", differences=wrong)
    shown = _shown(known.node, found, activity.get(found.key))
    return replace(shown, **names, state="different" if wrong else "ok", differences=wrong)


_NAMES = ("node", "namespace", "name", "port_name", "kind", "address", "protocol", "port", "mark")


def _named(service: Service, owner: Owner) -> Service:
    namespace, _, name = owner.service.rpartition("/")
    return replace(
        service,
        namespace=namespace,
        name=name,
        port_name=owner.port_name or None,
        kind=owner.kind,
        address=str(owner.address),
        protocol=owner.protocol.value,
        port=owner.port,
    )


def _shown(node: str, server: VirtualServer, activity: Activity | None = None) -> Service:
    """As the kernel knows it."""
    key = server.key
    counts = activity.real_servers if activity else {}
    return Service(
        node=node,
        address=str(key.address) if isinstance(key, Port) else None,
        protocol=key.protocol.value if isinstance(key, Port) else None,
        port=key.port if isinstance(key, Port) else None,
        mark=key.mark if isinstance(key, Mark) else None,
        scheduler=server.scheduler.value,
        flags=tuple(sorted(server.flags)),
        forwarding=server.forwarding.value,
        persistence_seconds=server.persistence_seconds,
        real_servers=tuple(_real_servers(server, counts)),
        traffic=_traffic(activity.traffic) if activity else None,
    )


def _real_servers(server: VirtualServer, counts: Mapping[Endpoint, Connections]) -> Iterator[RealServer]:
    for each in server.real_servers:
        count = counts.get(each.endpoint)
        yield RealServer(
            address=str(each.address),
            port=each.port,
            weight=each.weight,
            active_connections=count.active if count else None,
            inactive_connections=count.inactive if count else None,
        )


def _traffic(traffic: Traffic) -> TrafficCounts:
    return TrafficCounts(**{name: getattr(traffic, name) for name in TrafficCounts.__struct_fields__})


def _order(service: Service) -> tuple[object, ...]:
    address = sort_key(parse_address(service.address)) if service.address else ()
    names = service.name is None, service.namespace or "", service.name or ""
    return (*names, address, service.port or 0, service.protocol or "", service.mark or 0)
