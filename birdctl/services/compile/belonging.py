"""Which services a change concerns."""

from __future__ import annotations

from collections.abc import Iterable

from birdctl.cluster.objects import EndpointSlice, Service
from birdctl.cluster.store import Cluster, Key


class Belonging:
    """Remembers which service each slice belongs to, for a slice may go or move to another."""

    def __init__(self, cluster: Cluster) -> None:
        self._service_of = {key: each.service_key for key, each in cluster.objects(EndpointSlice).items()}

    def all(self, cluster: Cluster) -> set[str]:
        """Every service there is, or that a slice says there is."""
        return {*cluster.objects(Service), *filter(None, self._service_of.values())}

    def concerned(self, cluster: Cluster, dirty: Iterable[Key]) -> set[str]:
        found: set[str] = set()
        for kind, name in dirty:
            if kind == Service.__name__:
                found.add(name)
            elif kind == EndpointSlice.__name__:
                found |= self._moved(cluster, name)
        return found

    def _moved(self, cluster: Cluster, name: str) -> set[str]:
        """The services a slice belonged to and belongs to."""
        before = self._service_of.pop(name, "")
        each = cluster.get(EndpointSlice, name)
        if each:
            self._service_of[name] = each.service_key
        return {service for service in (before, each.service_key if each else "") if service}
