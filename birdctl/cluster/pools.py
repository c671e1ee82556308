"""AddressPools, as far as who serves an address looks at them: where load balancer addresses may come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from birdctl.addresses import Prefix, family, parse_span, sort_key
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.faults import Faults
from birdctl.errors import InputError


def ranges(
    pools: Iterable[AddressPool], cluster_ranges: Sequence[Prefix]
) -> tuple[tuple[Prefix, ...], tuple[InputError, ...]]:
    """The prefixes of all usable pools, sorted, and what is wrong with the others."""
    found: set[Prefix] = set()
    problems: list[InputError] = []
    for pool in sorted(pools, key=lambda pool: pool.name):
        faults = Faults(pool.ref)
        spans = _spans("spec.ranges", pool.spec.ranges, faults)
        _spans("spec.exclude", pool.spec.exclude, faults)
        for prefix in spans:
            of_family = (own for own in cluster_ranges if family(own) is family(prefix))
            inside = next((own for own in of_family if own.overlaps(prefix)), None)
            if inside:
                faults.add("spec.ranges", f"{prefix} overlaps {inside} of --service-cluster-ip-range")
        if not pool.spec.ranges:
            faults.add("spec.ranges", "expected at least one range")
        problems += faults
        found.update(() if faults else spans)
    return tuple(sorted(found, key=sort_key)), tuple(problems)


def _spans(field: str, texts: Iterable[str], faults: Faults) -> list[Prefix]:
    found = [faults.read(f"{field}[{index}]", parse_span, text) for index, text in enumerate(texts)]
    return [prefix for prefixes in found for prefix in prefixes or ()]
