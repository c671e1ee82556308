"""What an AddressPool says: where load balancer addresses may come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from birdctl.addresses import Prefix, overlap, parse_prefix, parse_span, sort_key
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.faults import Faults
from birdctl.errors import InputError

_NO_HOSTS = tuple(
    map(
        parse_prefix,
        ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::/127", "fe80::/10", "ff00::/8"),
    )
)
"""This network, loopback, link-local and multicast (IANA's special-purpose registries)."""


class PoolRanges(msgspec.Struct, frozen=True, kw_only=True):
    """The prefixes of each of a pool's ranges, by its text, and those it leaves out; nothing of a pool with faults."""

    ranges: tuple[tuple[str, tuple[Prefix, ...]], ...]
    excluded: tuple[Prefix, ...]
    problems: tuple[InputError, ...]

    @property
    def prefixes(self) -> Iterator[Prefix]:
        return (prefix for _, prefixes in self.ranges for prefix in prefixes)


def read(pool: AddressPool, cluster_ranges: Sequence[Prefix]) -> PoolRanges:
    faults = Faults(pool.ref)
    if not pool.spec.ranges:
        faults.add("spec.ranges", "expected at least one range")
    ranges = tuple(_spans("spec.ranges", pool.spec.ranges, faults))
    excluded = tuple(_spans("spec.exclude", pool.spec.exclude, faults))
    for _, prefixes in ranges:
        for prefix in prefixes:
            if inside := overlapped(prefix, cluster_ranges):
                faults.add("spec.ranges", f"{prefix} overlaps {inside} of --service-cluster-ip-range")
            if inside := overlapped(prefix, _NO_HOSTS):
                faults.add("spec.ranges", f"{prefix} overlaps {inside}: nobody reaches a host there")
    if faults:
        return PoolRanges(ranges=(), excluded=(), problems=tuple(faults))
    return PoolRanges(ranges=ranges, excluded=tuple(each for _, found in excluded for each in found), problems=())


def ranges(
    pools: Iterable[AddressPool], cluster_ranges: Sequence[Prefix]
) -> tuple[tuple[Prefix, ...], tuple[InputError, ...]]:
    """The prefixes of all usable pools, sorted, and what is wrong with the others."""
    found = [read(pool, cluster_ranges) for pool in sorted(pools, key=lambda pool: pool.name)]
    prefixes = {prefix for each in found for prefix in each.prefixes}
    return tuple(sorted(prefixes, key=sort_key)), tuple(problem for each in found for problem in each.problems)


def _spans(field: str, texts: Iterable[str], faults: Faults) -> Iterator[tuple[str, tuple[Prefix, ...]]]:
    for index, text in enumerate(texts):
        yield text, faults.read(f"{field}[{index}]", parse_span, text) or ()


def overlapped(prefix: Prefix, own: Iterable[Prefix]) -> Prefix | None:
    """The first of `own` that has addresses of `prefix`."""
    return next((each for each in own if overlap(each, prefix)), None)
