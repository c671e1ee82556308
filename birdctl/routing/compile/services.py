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
from birdctl.cluster.serviceaddresses import AddressRules, has_no_addresses, placed_addresses, stays_local
from birdctl.errors import InputError
from birdctl.routing.compile.advertisements import DEFAULTS, Advertisement, Class

_SOURCES: Mapping[AddressKind, str] = {
    "ClusterIP": "clusterIP",
    "ExternalIP": "externalIP",
    "LoadBalancerIP": "loadBalancerIP",
}
UNPROGRAMMED = "this node does not serve it yet"
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about every service alike."""

    node: str
    families: frozenset[Family]
    advertise: Advertise
    advertisements: tuple[Advertisement, ...]
    without_endpoints: bool
    only_programmed: bool
    addresses: AddressRules


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One service's wish for a prefix: the rules that ask for it, and what the address is."""

    rules: Class
    source: str


class Announcement(msgspec.Struct, frozen=True):
    """All that one service announces on this node."""

    claims: Mapping[Prefix, Claim] = {}
    problems: tuple[InputError, ...] = ()


NOTHING = Announcement()


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one address: the rules that ask for it, and why it is not announced, empty when it is."""

    kind: AddressKind
    address: Address
    rules: Class
    reason: str


def announcement(
    service: Service,
    slices: Collection[EndpointSlice],
    namespace: Labels,
    rules: Rules,
    programmed: ProgrammedService | None = None,
) -> Announcement:
    faults = Faults(service.ref)
    asked = _asked(service, namespace, rules, faults)
    if not asked or has_no_addresses(service):
        return Announcement({}, tuple(faults)) if faults else NOTHING
    claims: dict[Prefix, Claim] = {}
    endpoints = _Endpoints(service, slices, rules, programmed)
    for kind, names in asked.items():
        for place, text in placed_addresses(service, kind):
            address = faults.read(place, parse_address, text)
            if address is None or family(address) not in rules.families or endpoints.refusal(kind, address):
                continue
            refusal = rules.addresses.refusal(kind, address)
            if refusal:
                faults.add(place, f"{refusal}: not advertised")
            else:
                _claim(claims, address, names, _SOURCES[kind])
    return Announcement(claims, tuple(faults)) if claims or faults else NOTHING


def considered(
    service: Service,
    slices: Collection[EndpointSlice],
    namespace: Labels,
    rules: Rules,
    programmed: ProgrammedService | None = None,
) -> Iterator[Considered]:
    """Each address of a service, with the reasons behind its `announcement`."""
    asked = _asked(service, namespace, rules, Faults(service.ref))
    endpoints = _Endpoints(service, slices, rules, programmed)
    for kind in () if has_no_addresses(service) else _SOURCES:
        names = frozenset(rule.name if rule else DEFAULTS for rule in asked.get(kind, ()))
        for _, text in placed_addresses(service, kind):
            address = Faults(service.ref).read("", parse_address, text)
            if address is None:
                continue
            if not names:
                reason = f"no BGPAdvertisement, annotation or default asks for its {kind}"
            elif family(address) not in rules.families:
                reason = f"this node has no {family(address)} address"
            else:
                reason = rules.addresses.refusal(kind, address) or endpoints.refusal(kind, address)
            yield Considered(kind=kind, address=address, rules=names, reason=reason)


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
        self._external_local = stays_local(service)
        self._internal_local = spec.internal_traffic_policy == "Local"

    def refusal(self, kind: AddressKind, address: Address) -> str:
        """Empty when it has."""
        local = self._internal_local if kind == "ClusterIP" else self._external_local
        idle = self._rules.without_endpoints and not local
        if not idle and not self._has_one(address, local=local):
            return "no endpoint on this node is ready, and its traffic stays local" if local else "no endpoint is ready"
        if self._rules.only_programmed and not self._is_programmed(address, idle=idle):
            return UNPROGRAMMED
        return ""

    def _has_one(self, address: Address, *, local: bool) -> bool:
        return any(
            endpoint.node_name == self._rules.node and self._is_ready(endpoint) if local else self._serves(endpoint)
            for each in self._slices
            if each.address_type == family(address)
            for endpoint in each.endpoints
        )

    def _is_programmed(self, address: Address, *, idle: bool) -> bool:
        found = self._programmed
        return found is not None and address in (found.addresses if idle else found.serving)

    def _is_ready(self, endpoint: Endpoint) -> bool:
        return self._unready_too or endpoint.conditions.is_ready

    def _serves(self, endpoint: Endpoint) -> bool:
        """An endpoint that serves to its end does while no other is ready (KEP-1669)."""
        conditions = endpoint.conditions
        return self._is_ready(endpoint) or (conditions.is_terminating and conditions.is_serving)


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
