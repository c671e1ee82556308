"""All policies, and which of them select a pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from birdctl.cluster.clusterpolicy import ClusterNetworkPolicy
from birdctl.cluster.objects import NetworkPolicy
from birdctl.cluster.store import Cluster, Key
from birdctl.policies.compile.cluster import cluster_policy
from birdctl.policies.compile.network import network_policy
from birdctl.policies.compile.peers import Endpoint
from birdctl.policies.compile.rules import Policy

Change = tuple[Policy | None, Policy | None]
"""A policy before and after."""

_CLUSTER, _NETWORK = ClusterNetworkPolicy.__name__, NetworkPolicy.__name__


class Policies:
    """Kept up to date by dirty keys."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, Policy]] = {}
        self._cluster: tuple[Policy, ...] = ()
        self.faulty: dict[str, Policy] = {}

    def update(self, cluster: Cluster, dirty: Iterable[Key]) -> list[Change]:
        """What changed with these objects."""
        found = [self._network(cluster, key) for kind, key in sorted(dirty) if kind == _NETWORK]
        found += [self._cluster_wide(cluster, key) for kind, key in sorted(dirty) if kind == _CLUSTER]
        for before, after in found:
            if before:
                self.faulty.pop(before.ref, None)
            if after and after.problems and (after.kind, after.key) not in cluster.errors:
                self.faulty[after.ref] = after
        return [(before, after) for before, after in found if before != after]

    def selecting(self, pod: Endpoint) -> Iterator[Policy]:
        """ClusterNetworkPolicies in their order, then NetworkPolicies by name."""
        yield from (policy for policy in self._cluster if policy.subject.match(pod))
        policies = self._by_namespace.get(pod.namespace, {})
        yield from sorted(
            (policy for policy in policies.values() if policy.subject.pods.matches(pod.labels)), key=attrgetter("key")
        )

    def _network(self, cluster: Cluster, key: str) -> Change:
        namespace = key.partition("/")[0]
        policies = self._by_namespace.setdefault(namespace, {})
        before = policies.pop(key, None)
        item = cluster.get(NetworkPolicy, key)
        after = network_policy(item) if item else None
        if after:
            policies[key] = after
        if not policies:
            del self._by_namespace[namespace]
        return before, after

    def _cluster_wide(self, cluster: Cluster, key: str) -> Change:
        before = next((policy for policy in self._cluster if policy.key == key), None)
        item = cluster.get(ClusterNetworkPolicy, key)
        after = cluster_policy(item) if item else None
        others = (policy for policy in self._cluster if policy.key != key)
        self._cluster = tuple(sorted((*others, *([after] if after else [])), key=attrgetter("order")))
        return before, after
