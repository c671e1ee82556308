"""What one Service of type LoadBalancer asks for, by its fields and annotations."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from birdctl.addresses import Address, Family, family, parse_address
from birdctl.allocation.options import AllocationOptions
from birdctl.cluster.annotations import annotation
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Service
from birdctl.cluster.serviceaddresses import stays_local
from birdctl.errors import InputError

CLASSES = frozenset({"birdctl", "birdctl.io/birdctl", "kube-router", "default"})
"""Values of spec.loadBalancerClass that mean this allocator; the last two are kube-router's."""
REQUESTED = "loadbalancer-ips"
POOL = "address-pool"
SHARING = "allow-shared-ip"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`families` in the Service's order. `requested` are addresses it insists on, `pool` the name of the only pool it
    wants. `sharing` is the key that services with other ports must have too to get the same address.
    """

    service: Service
    families: tuple[Family, ...]
    both: bool
    requested: tuple[Address, ...]
    pool: str
    sharing: str
    current: tuple[Address, ...]

    @property
    def ports(self) -> frozenset[tuple[str, int]]:
        return frozenset((each.protocol, each.port) for each in self.service.spec.ports)


def is_ours(service: Service, options: AllocationOptions) -> bool:
    spec = service.spec
    if spec.type != "LoadBalancer":
        return False
    return spec.load_balancer_class in CLASSES if spec.load_balancer_class else options.loadbalancer_default_class


def wish(service: Service) -> tuple[Wish, tuple[InputError, ...]]:
    """What is wrong is told, and left out of the wish."""
    faults = Faults(service.ref)
    families = tuple(_families(service))
    requested = tuple(dict.fromkeys(_requested(service, families, faults)))
    pool = annotation(service.metadata.annotations, POOL)
    return Wish(
        service=service,
        families=families,
        both=service.spec.ip_family_policy == "RequireDualStack",
        requested=requested,
        pool=pool.word if pool else "",
        sharing=_sharing(service, faults),
        current=ingress_addresses(service),
    ), tuple(faults)


def ingress_addresses(service: Service) -> tuple[Address, ...]:
    """The addresses in its status; a load balancer's names are not for us."""
    return tuple(_readable(each.ip for each in service.status.load_balancer.ingress if each.ip))


def _readable(texts: Iterator[str]) -> Iterator[Address]:
    for text in texts:
        try:
            yield parse_address(text)
        except ValueError:
            continue


def _families(service: Service) -> Iterator[Family]:
    """As the API server says, else those of the cluster IPs."""
    spec = service.spec
    known = [each for each in Family if each in spec.ip_families]
    known.sort(key=spec.ip_families.index)
    own = (spec.cluster_ips or (spec.cluster_ip,)) if not known else ()
    known += map(family, _readable(text for text in own if text not in ("", "None")))
    yield from dict.fromkeys(known or [Family.IPV4])


def _requested(service: Service, families: tuple[Family, ...], faults: Faults) -> Iterator[Address]:
    first: dict[Family, Address] = {}
    for field, text in _requests(service):
        address = faults.read(field, parse_address, text)
        if address is None:
            continue
        if family(address) not in families:
            faults.add(field, f"{address} is not of the families of the Service ({', '.join(families)})")
        elif first.setdefault(family(address), address) != address:
            faults.add(
                field, f"{address} is a second {family(address)} address: the first, {first[family(address)]}, counts"
            )
        else:
            yield address


def _requests(service: Service) -> Iterator[tuple[str, str]]:
    """The annotation, which can name both families, before the field."""
    found = annotation(service.metadata.annotations, REQUESTED)
    if found:
        yield from ((found.field, text.strip()) for text in found.text.split(",") if text.strip())
    elif service.spec.load_balancer_ip:
        yield "spec.loadBalancerIP", service.spec.load_balancer_ip


def _sharing(service: Service, faults: Faults) -> str:
    """If traffic is to stay local, every node would send to the endpoints of only one of those who share."""
    found = annotation(service.metadata.annotations, SHARING)
    if found and stays_local(service):
        faults.add(found.field, "its traffic stays on the node it comes to: it gets an address of its own")
        return ""
    return found.word if found else ""
