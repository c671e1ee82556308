"""One service: which of its addresses this node announces, and by which rules.

A pure function of the service, its slices and its namespace's labels, so that a change costs only its own service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Family, Prefix, family, host_prefix, parse_address
from birdctl.cluster.annotations import annotation
from birdctl.cluster.bgp import AddressKind, Advertise
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Endpoint, EndpointSlice, Labels, Service
from birdctl.cluster.programmed import ProgrammedService
from birdctl.errors import InputError
from birdctl.routing.compile.advertisements import DEFAULTS, Advertisement, Class

_SOURCES: Mapping[AddressKind, str] = {
    "ClusterIP": "clusterIP",
    "ExternalIP": "externalIP",
    "LoadBalancerIP": "loadBalancerIP",
}
_RANGES: Mapping[AddressKind, str] = {
    "ExternalIP": "--service-external-ip-range",
    "LoadBalancerIP": "--loadbalancer-ip-range and no AddressPool",
}
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about every service alike. `ranges`: where addresses of a kind must lie, unless it has no entry."""

    node: str
    families: frozenset[Family]
    advertise: Advertise
    advertisements: tuple[Advertisement, ...]
    without_endpoints: bool
    only_programmed: bool
    cluster_ranges: tuple[Prefix, ...]
    ranges: Mapping[AddressKind, tuple[Prefix, ...]]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One service's wish for a prefix: the rules that ask for it, and what the address is."""

    rules: Class
    source: str


class Announcement(msgspec.Struct, frozen=True):
    """All that one service announces on this node."""

    claims: Mapping[Prefix, Claim] = {}
    problems: tuple[InputError, ...] = ()


NOTHING = Announcement()


def announcement(
    service: Service,
    slices: Collection[EndpointSlice],
    namespace: Labels,
    rules: Rules,
    programmed: ProgrammedService | None = None,
) -> Announcement:
    faults = Faults(service.ref)
    asked = _asked(service, namespace, rules, faults)
    if not asked or _has_no_addresses(service):
        return Announcement({}, tuple(faults)) if faults else NOTHING
    claims: dict[Prefix, Claim] = {}
    endpoints = _Endpoints(service, slices, rules, programmed)
    for kind, names in asked.items():
        for place, text in _texts(service, kind):
            address = faults.read(place, parse_address, text)
            if address is None or family(address) not in rules.families or not endpoints.serve(kind, address):
                continue
            if _is_permitted(kind, address, place, rules, faults):
                _claim(claims, address, names, _SOURCES[kind])
    return Announcement(claims, tuple(faults)) if claims or faults else NOTHING


def _asked(
    service: Service, namespace: Labels, rules: Rules, faults: Faults
) -> dict[AddressKind, list[Advertisement | None]]:
    """The rules that ask for each kind of address; None stands for the defaults."""
    usual = rules.advertise
    selecting = [rule for rule in rules.advertisements if rule.selects(service.metadata.labels, namespace)]
    asked: dict[AddressKind, list[Advertisement | None]] = {}
    by_default: tuple[tuple[AddressKind, bool], ...] = (
        ("ClusterIP", usual.cluster_ips),
        ("ExternalIP", usual.external_ips),
        ("LoadBalancerIP", usual.load_balancer_ips),
    )
    for kind, default in by_default:
        own = _annotated(service, f"service.advertise.{kind.lower()}", faults)
        asking: list[Advertisement | None] = [rule for rule in selecting if kind in rule.kinds]
        if default if own is None else own:
            asking.append(None)
        if asking and own is not False:
            asked[kind] = asking
    return asked


def _annotated(service: Service, name: str, faults: Faults) -> bool | None:
    found = annotation(service.metadata.annotations, name) if service.metadata.annotations else None
    if found is None:
        return None
    if found.word.lower() not in _TRUE | _FALSE:
        faults.add(found.field, f"{found.word!r} is neither true nor false")
    return found.word.lower() in _TRUE


def _has_no_addresses(service: Service) -> bool:
    """Headless, or only a name."""
    spec = service.spec
    return (
        spec.type == "ExternalName"
        or (spec.cluster_ip or (spec.cluster_ips or ("",))[0]) in ("", "None")
        or "service.kubernetes.io/headless" in service.metadata.labels
    )


def _texts(service: Service, kind: AddressKind) -> Iterator[tuple[str, str]]:
    """The addresses of one kind, each with the field it stands in."""
    spec = service.spec
    match kind:
        case "ClusterIP":
            yield from _placed("spec.clusterIPs", spec.cluster_ips or (spec.cluster_ip,))
        case "ExternalIP":
            yield from _placed("spec.externalIPs", spec.external_ips)
        case "LoadBalancerIP":
            if spec.type == "LoadBalancer" and annotation(service.metadata.annotations, "service.skiplbips") is None:
                for index, ingress in enumerate(service.status.load_balancer.ingress):
                    if ingress.ip and ingress.ip_mode == "VIP":
                        yield f"status.loadBalancer.ingress[{index}].ip", ingress.ip


def _placed(field_: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((f"{field_}[{index}]", text) for index, text in enumerate(texts))


class _Endpoints:
    """Whether traffic to an address of the service that reaches this node has somewhere to go."""

    def __init__(
        self,
        service: Service,
        slices: Collection[EndpointSlice],
        rules: Rules,
        programmed: ProgrammedService | None,
    ) -> None:
        spec = service.spec
        self._slices = slices
        self._rules = rules
        self._programmed = programmed
        self._unready_too = spec.publish_not_ready_addresses
        local = annotation(service.metadata.annotations, "service.local")
        self._external_local = spec.external_traffic_policy == "Local" or bool(local and local.word == "true")
        self._internal_local = spec.internal_traffic_policy == "Local"

    def serve(self, kind: AddressKind, address: Address) -> bool:
        local = self._internal_local if kind == "ClusterIP" else self._external_local
        idle = self._rules.without_endpoints and not local
        if self._rules.only_programmed and not self._is_programmed(address, idle=idle):
            return False
        return idle or any(
            self._counts(endpoint) and (not local or endpoint.node_name == self._rules.node)
            for each in self._slices
            if each.address_type == family(address)
            for endpoint in each.endpoints
        )

    def _is_programmed(self, address: Address, *, idle: bool) -> bool:
        found = self._programmed
        return found is not None and address in (found.addresses if idle else found.serving)

    def _counts(self, endpoint: Endpoint) -> bool:
        return self._unready_too or endpoint.conditions.is_ready


def _is_permitted(kind: AddressKind, address: Address, place: str, rules: Rules, faults: Faults) -> bool:
    """Strict validation: an address of its own ranges, and never one that could be a cluster IP."""
    ranges = rules.ranges.get(kind)
    if ranges is None:
        return True
    if _within(address, rules.cluster_ranges):
        faults.add(place, f"{address} lies in --service-cluster-ip-range: not advertised")
    elif not _within(address, ranges):
        faults.add(place, f"{address} lies in none of {_RANGES[kind]}: not advertised")
    else:
        return True
    return False


def _within(address: Address, ranges: Iterable[Prefix]) -> bool:
    return any(address in prefix for prefix in ranges)


def _claim(
    claims: dict[Prefix, Claim],
    address: Address,
    asking: Iterable[Advertisement | None],
    source: str,
) -> None:
    for rule in asking:
        prefix = rule.prefix(address) if rule else host_prefix(address)
        name = rule.name if rule else DEFAULTS
        before = claims.get(prefix)
        claims[prefix] = Claim(
            rules=frozenset({name}) | (before.rules if before else frozenset()),
            source=min(source, before.source) if before else source,
        )
