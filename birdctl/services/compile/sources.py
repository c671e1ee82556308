"""Who may use a service at its load balancer addresses: `spec.loadBalancerSourceRanges`.

As kube-proxy has it: a family without a range is open to everybody. With a range that cannot be read, none is.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from birdctl.addresses import Family, Prefix, family
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Service


def allowed_sources(service: Service, faults: Faults) -> Mapping[Family, frozenset[Prefix]]:
    """The ranges by family; a family that everybody may use is not in it."""
    found: dict[Family, set[Prefix]] = {}
    for index, text in enumerate(service.spec.load_balancer_source_ranges):
        prefix = faults.read(f"spec.loadBalancerSourceRanges[{index}]", _range, text)
        if prefix:
            found.setdefault(family(prefix), set()).add(prefix)
        else:
            found |= {each: found.get(each, set()) for each in Family}
    return {of: frozenset(each) for of, each in found.items() if all(prefix.prefixlen for prefix in each)}


def _range(text: str) -> Prefix:
    """The API allows spaces around it and bits of a host in it."""
    return ip_network(text.strip(), strict=False)
