"""The addresses of a service that clients use on this node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Family, family
from birdctl.cluster.annotations import annotation
from birdctl.cluster.bgp import AddressKind
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Service
from birdctl.cluster.serviceaddresses import placed_addresses
from birdctl.services.compile.hosts import host
from birdctl.services.compile.part import Omission
from birdctl.services.compile.surroundings import Context
from birdctl.services.model import ServiceAddressKind

_KINDS: tuple[AddressKind, ...] = ("ClusterIP", "LoadBalancerIP", "ExternalIP")


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """`held`: this node must have the address on its VIP device to get the packets."""

    kind: ServiceAddressKind
    address: Address
    family: Family
    held: bool

    @property
    def external(self) -> bool:
        """Where the policy for external traffic holds."""
        return self.kind != "ClusterIP"

    @property
    def placed(self) -> bool:
        """Somebody gave the service this address, from outside the cluster's own."""
        return self.kind in ("ExternalIP", "LoadBalancerIP")

    @property
    def direct(self) -> bool:
        """Where there may be direct server return: no packet comes in from an address that is this node's own."""
        return self.placed and self.held


class Fronts:
    """Finds them for one service; what is left out goes to `faults` and `omitted`."""

    def __init__(
        self,
        service: Service,
        context: Context,
        hosts: Mapping[Address, str],
        faults: Faults,
        omitted: list[Omission],
    ) -> None:
        self._service = service
        self._context = context
        self._hosts = hosts
        self._faults = faults
        self._omitted = omitted

    def find(self) -> list[Front]:
        """Each address once: the kind that comes first wins."""
        found: dict[Address, Front] = {}
        families: set[Family] = set()
        for kind in _KINDS:
            for place, text in placed_addresses(self._service, kind):
                address = self._faults.read(place, host, text)
                if address is None or not self._is_served(kind, place, address, families):
                    continue
                held = kind == "ClusterIP" or self._hosts.get(address) != self._context.node
                found.setdefault(address, Front(kind=kind, address=address, family=family(address), held=held))
        self._tell_load_balancers()
        return [*found.values(), *self._node_ports(families)]

    def _is_served(self, kind: AddressKind, place: str, address: Address, families: set[Family]) -> bool:
        """`families` collects those of the cluster IPs, which are the service's."""
        own = family(address)
        if kind == "ClusterIP":
            families.add(own)
        problem = self._problem(kind, address, own, families)
        if problem:
            self._faults.add(place, f"{problem}: not served")
            return False
        reason = self._reason(kind, address, own)
        if reason:
            self._omitted.append(Omission(what=f"{kind} {address}", reason=reason))
        return not reason

    def _problem(self, kind: AddressKind, address: Address, own: Family, families: set[Family]) -> str:
        if own not in families:
            return f"{address} is {own}, and the service has no cluster IP of that family"
        return self._context.validation.refusal(kind, address)

    def _reason(self, kind: AddressKind, address: Address, own: Family) -> str:
        """Another node's address is never taken from it: this node would be cut off from that one."""
        if own not in self._context.families:
            return f"{own} is off (--enable-{own.label})"
        other = self._hosts.get(address, self._context.node)
        if kind != "ClusterIP" and other != self._context.node:
            return f"it is an address of Node {other}, which serves it itself"
        if self._context.excludes(address):
            return "it lies in --excluded-cidrs, which others serve"
        return ""

    def _tell_load_balancers(self) -> None:
        """Says which load balancer addresses are none of ours."""
        skipped = annotation(self._service.metadata.annotations, "service.skiplbips")
        for index, ingress in enumerate(self._service.status.load_balancer.ingress):
            if ingress.ip and (skipped or ingress.ip_mode != "VIP"):
                what = f"status.loadBalancer.ingress[{index}].ip {ingress.ip}"
                reason = "the annotation service.skiplbips" if skipped else f"its ipMode is {ingress.ip_mode}"
                self._omitted.append(Omission(what=what, reason=reason))

    def _node_ports(self, families: set[Family]) -> Iterator[Front]:
        if self._service.spec.type in ("NodePort", "LoadBalancer"):
            for address in self._context.node_ports:
                own = family(address)
                if own in families and own in self._context.families and not self._context.excludes(address):
                    yield Front(kind="NodePort", address=address, family=own, held=False)
