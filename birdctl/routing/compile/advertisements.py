"""Which service addresses go to which external peers, and with what: the rules, before any service is looked at.

A *class* is the set of rules that ask for a prefix; the empty name stands for the defaults (settings, annotations,
`BGPConfiguration.advertise`), any other for the BGPAdvertisement of that name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from birdctl.addresses import Address, Family, Prefix, family, parse_address
from birdctl.cluster.bgp import AddressKind, BGPAdvertisement
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Labels, LabelSelector
from birdctl.errors import InputError
from birdctl.routing.compile import configuration as defaults
from birdctl.routing.compile import values
from birdctl.routing.model import Attributes

Class = frozenset[str]

DEFAULTS = ""


class Advertisement(msgspec.Struct, frozen=True, kw_only=True):
    """One BGPAdvertisement. `peers` None: every external peer. `lengths`: how much of an address is announced."""

    name: str
    service_selector: LabelSelector | None
    namespace_selector: LabelSelector | None
    kinds: frozenset[AddressKind]
    peers: frozenset[str] | None
    attributes: Attributes
    prepend: int
    lengths: Mapping[Family, int]

    def selects(self, service: Labels, namespace: Labels) -> bool:
        return (self.service_selector is None or self.service_selector.matches(service)) and (
            self.namespace_selector is None or self.namespace_selector.matches(namespace)
        )

    def goes_to(self, peer: str) -> bool:
        return self.peers is None or peer in self.peers

    def prefix(self, address: Address) -> Prefix:
        return values.network_of(address, self.lengths[family(address)])


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of several rules for one prefix and peer, united."""

    attributes: Attributes
    prepend: int


def read(
    objects: Iterable[BGPAdvertisement], peer_names: Collection[str]
) -> tuple[dict[str, Advertisement], tuple[InputError, ...]]:
    """The usable advertisements by name. `peer_names` are all peers there are anywhere in the cluster."""
    found: dict[str, Advertisement] = {}
    problems: list[InputError] = []
    for item in sorted(objects, key=lambda item: item.name):
        faults = Faults(item.ref)
        advertisement = _advertisement(item, faults)
        if not faults:
            found[item.name] = advertisement
        problems += faults
        problems += _unknown_peers(item, peer_names)
    return found, tuple(problems)


def united(rules: Iterable[Advertisement]) -> Outgoing:
    """All communities, the largest local preference, the smallest MED and the fewest prepends of those given."""
    rules = list(rules)
    each = [rule.attributes for rule in rules]
    return Outgoing(
        attributes=Attributes(
            communities=tuple(sorted({item for found in each for item in found.communities})),
            large_communities=tuple(sorted({item for found in each for item in found.large_communities})),
            local_pref=max((found.local_pref for found in each if found.local_pref is not None), default=None),
            med=min((found.med for found in each if found.med is not None), default=None),
        ),
        prepend=min((rule.prepend for rule in rules), default=0),
    )


def _advertisement(item: BGPAdvertisement, faults: Faults) -> Advertisement:
    spec = item.spec
    lengths = {
        Family.IPV4: faults.read("spec.aggregationLength.ipv4", values.between, spec.aggregation_length.ipv4, 1, 32),
        Family.IPV6: faults.read("spec.aggregationLength.ipv6", values.between, spec.aggregation_length.ipv6, 1, 128),
    }
    for field, number in (("spec.localPref", spec.local_pref), ("spec.med", spec.med)):
        if number is not None:
            faults.read(field, values.between, number, 0, 2**32 - 1)
    faults.read("spec.prepend", values.between, spec.prepend, 0, values.MOST_PREPENDS)
    if not spec.addresses:
        faults.add("spec.addresses", "expected some of ClusterIP, ExternalIP and LoadBalancerIP")
    return Advertisement(
        name=item.name,
        service_selector=spec.service_selector,
        namespace_selector=spec.namespace_selector,
        kinds=frozenset(spec.addresses),
        peers=None if spec.peers is None else frozenset(spec.peers),
        attributes=replace(
            defaults.communities(spec.communities, "spec.communities", faults),
            local_pref=spec.local_pref,
            med=spec.med,
        ),
        prepend=spec.prepend,
        lengths={each: length or each.bits for each, length in lengths.items()},
    )


def _unknown_peers(item: BGPAdvertisement, peer_names: Collection[str]) -> list[InputError]:
    """A peer that is gone does not take its advertisement away from the others: it is only reported."""
    unknown = [name for name in item.spec.peers or () if name not in peer_names and not _is_address(name)]
    return [InputError(item.ref, "spec.peers", f"there is no BGPPeer {name}") for name in unknown]


def _is_address(text: str) -> bool:
    """Peers of settings and annotations are named by their address; those of other nodes are not known here."""
    try:
        parse_address(text)
    except ValueError:
        return False
    return True
