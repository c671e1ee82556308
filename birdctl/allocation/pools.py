"""Pools: AddressPools and the ranges of `--loadbalancer-ip-range`, ready to give addresses from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Family, Prefix, sort_key
from birdctl.allocation.options import AllocationOptions
from birdctl.allocation.spans import Span, hosts, whole, without
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.faults import Faults
from birdctl.cluster.nodes import pod_cidrs
from birdctl.cluster.objects import Labels, LabelSelector, Node, Service
from birdctl.cluster.pools import PoolRanges, overlapped, read
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError

FROM_SETTINGS = "--loadbalancer-ip-range"
"""The name of the pool that the setting makes."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """`spans` are the addresses it may give, sorted."""

    name: str
    spans: tuple[Span, ...]
    auto_assign: bool = True
    namespace_selector: LabelSelector | None = None
    service_selector: LabelSelector | None = None

    def admits(self, service: Service, namespace: Labels) -> bool:
        return (self.namespace_selector is None or self.namespace_selector.matches(namespace)) and (
            self.service_selector is None or self.service_selector.matches(service.metadata.labels)
        )

    def __contains__(self, address: Address) -> bool:
        return any(address in span for span in self.spans)

    def size(self, of: Family) -> int:
        return sum(span.size for span in self.spans if span.family is of)


def pools(cluster: Cluster, options: AllocationOptions) -> tuple[tuple[Pool, ...], tuple[InputError, ...]]:
    """All usable pools by name, that of the settings last, and what is wrong. None gives the addresses of pods."""
    pods = {
        cidr: node.ref
        for _, node in sorted(cluster.objects(Node).items())
        for cidr in sorted(pod_cidrs(node, Faults(node.ref)), key=sort_key)
    }
    found: list[Pool] = []
    problems: list[InputError] = []
    for _, each in sorted(cluster.objects(AddressPool).items()):
        ranges = read(each, options.service_cluster_ip_range)
        problems += ranges.problems or _of_pods(each.ref, "spec.ranges", ranges.prefixes, pods)
        if not ranges.problems:
            found.append(_pool(each, ranges, pods))
    if options.loadbalancer_ip_range:
        holes = map(whole, (*options.service_cluster_ip_range, *pods))
        problems += _of_pods(FROM_SETTINGS, "", options.loadbalancer_ip_range, pods)
        found.append(Pool(name=FROM_SETTINGS, spans=without(map(hosts, options.loadbalancer_ip_range), holes)))
    return tuple(found), tuple(problems)


def _of_pods(origin: str, field: str, ranges: Iterable[Prefix], pods: Mapping[Prefix, str]) -> Iterator[InputError]:
    for prefix in ranges:
        if cidr := overlapped(prefix, pods):
            yield InputError(
                origin, field, f"{prefix} overlaps pod CIDR {cidr} of {pods[cidr]}: what is in it is not given"
            )


def _pool(item: AddressPool, given: PoolRanges, pods: Iterable[Prefix]) -> Pool:
    """A range with a dash is taken by its word; a prefix has addresses that no host can have."""
    spans = (whole(prefix) if "-" in text else hosts(prefix) for text, prefixes in given.ranges for prefix in prefixes)
    return Pool(
        name=item.name,
        spans=without(spans, map(whole, (*given.excluded, *pods))),
        auto_assign=item.spec.auto_assign,
        namespace_selector=item.spec.namespace_selector,
        service_selector=item.spec.service_selector,
    )
