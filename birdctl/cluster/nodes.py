"""What Node objects say about addresses and pod CIDRs."""

from __future__ import annotations

from collections.abc import Iterator

from birdctl.addresses import Address, Prefix, parse_address, parse_prefix
from birdctl.cluster.annotations import annotation
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Node


def node_addresses(node: Node, faults: Faults) -> Iterator[Address]:
    """Internal before external, else in the object's order."""
    for kind in ("InternalIP", "ExternalIP"):
        yield from addresses_of_type(node, kind, faults)


def addresses_of_type(node: Node, kind: str, faults: Faults) -> Iterator[Address]:
    """The addresses of one type, as `InternalIP`, in the object's order."""
    for index, entry in enumerate(node.status.addresses):
        if entry.type == kind:
            address = faults.read(f"status.addresses[{index}].address", parse_address, entry.address)
            if address:
                yield address


def pod_cidrs(node: Node, faults: Faults) -> frozenset[Prefix]:
    """Where its pods' addresses come from: the annotation `pod-cidrs` wins over the spec."""
    spec = node.spec
    overriding = annotation(node.metadata.annotations, "pod-cidrs") or annotation(node.metadata.annotations, "pod-cidr")
    field = overriding.field if overriding else "spec.podCIDRs"
    texts = overriding.items() if overriding else spec.pod_cidrs or ((spec.pod_cidr,) if spec.pod_cidr else ())
    return frozenset(prefix for text in texts if (prefix := faults.read(field, parse_prefix, text)))
