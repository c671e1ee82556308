"""What a Node object says about routing: addresses, pod CIDRs, ASN, reflector roles, readiness.

The facts of a node are the same on whatever node they are compiled; what cannot be understood is a problem beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from birdctl.addresses import Address, Family, Prefix, family, parse_address, parse_prefix
from birdctl.cluster.objects import Labels, Node
from birdctl.errors import InputError
from birdctl.routing.options import RoutingOptions

_PREFIXES = ("birdctl.io", "kube-router.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation as it was found: `field` is where, `text` what it says."""

    field: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """`addresses` is the one address of each family that BGP uses; `pod_cidrs` only of those families."""

    name: str
    ref: str
    labels: Labels
    addresses: Mapping[Family, Address]
    pod_cidrs: tuple[Prefix, ...]
    problems: tuple[InputError, ...] = ()

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(self.addresses)


def annotation(annotations: Labels, name: str) -> Annotation | None:
    """The annotation `birdctl.io/name`, else `kube-router.io/name`."""
    for prefix in _PREFIXES:
        key = f"{prefix}/{name}"
        if key in annotations:
            return Annotation(field=f"metadata.annotations[{key}]", text=annotations[key].strip())
    return None


def facts(node: Node, options: RoutingOptions) -> NodeFacts:
    problems: list[InputError] = []
    addresses = _primary(_addresses(node, problems), options)
    if not addresses:
        problems.append(InputError(node.ref, "status.addresses", "no usable InternalIP or ExternalIP"))
    return NodeFacts(
        name=node.name,
        ref=node.ref,
        labels=node.metadata.labels,
        addresses=addresses,
        pod_cidrs=tuple(_pod_cidrs(node, addresses, problems)),
        problems=tuple(problems),
    )


def _addresses(node: Node, problems: list[InputError]) -> list[Address]:
    """All of them, internal before external, in the object's order."""
    found: list[Address] = []
    for kind in ("InternalIP", "ExternalIP"):
        for index, entry in enumerate(node.status.addresses):
            if entry.type == kind:
                try:
                    found.append(parse_address(entry.address))
                except ValueError as error:
                    problems.append(InputError(node.ref, f"status.addresses[{index}].address", str(error)))
    return found


def _primary(addresses: Iterable[Address], options: RoutingOptions) -> dict[Family, Address]:
    enabled = [Family.IPV4] * options.enable_ipv4 + [Family.IPV6] * options.enable_ipv6
    first: dict[Family, Address] = {}
    for address in addresses:
        first.setdefault(family(address), address)
    return {key: first[key] for key in enabled if key in first}


def _pod_cidrs(node: Node, addresses: Mapping[Family, Address], problems: list[InputError]) -> Iterable[Prefix]:
    texts = node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())
    for text in texts:
        try:
            prefix = parse_prefix(text)
        except ValueError as error:
            problems.append(InputError(node.ref, "spec.podCIDRs", str(error)))
            continue
        if family(prefix) in addresses:
            yield prefix
