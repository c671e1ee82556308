"""Keeps the book of announcements in step with the cluster: every service once, then only those that changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from birdctl.cluster.objects import EndpointSlice, Labels, Namespace, Service
from birdctl.cluster.programmed import ProgrammedService
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.routing.compile.book import Placed, ServiceBook
from birdctl.routing.compile.services import NOTHING, Announcement, Considered, Rules, announcement, considered
from birdctl.routing.model import Originated


class Advertising:
    """The service addresses this node originates."""

    def __init__(self) -> None:
        self._book = ServiceBook()
        self._service_of: dict[str, str] = {}

    @property
    def classes(self) -> Collection[Placed]:
        return self._book.classes

    @property
    def problems(self) -> Iterator[InputError]:
        return self._book.problems

    def originated(self) -> tuple[Originated, ...]:
        return self._book.originated()

    def update(self, cluster: Cluster, rules: Rules, dirty: Iterable[Key] | None) -> None:
        """Looks at the services that `dirty` keys touch, at all of them when it is None."""
        if dirty is None:
            self._service_of = {key: each.service_key for key, each in cluster.objects(EndpointSlice).items()}
            touched = {*cluster.objects(Service), *self._book.services}
        else:
            touched = {service for key in dirty for service in self._touched(cluster, key)}
        for service in touched:
            self._book.put(service, _announced(cluster, service, rules))

    def _touched(self, cluster: Cluster, key: Key) -> Iterable[str]:
        match key:
            case ("Service" | "ProgrammedService", name):
                return (name,)
            case ("EndpointSlice", name):
                return self._moved(cluster, name)
            case ("Namespace", name):
                return [service for service in cluster.objects(Service) if service.startswith(f"{name}/")]
            case _:
                return ()

    def _moved(self, cluster: Cluster, name: str) -> tuple[str, ...]:
        """The services a slice belonged to and belongs to."""
        before = self._service_of.pop(name, "")
        found = cluster.get(EndpointSlice, name)
        if found:
            self._service_of[name] = found.service_key
        return tuple({service for service in (before, found.service_key if found else "") if service})


def decisions(cluster: Cluster, key: str, rules: Rules) -> tuple[Considered, ...]:
    """What becomes of each address of the service, and why; nothing of one that is not there."""
    service = cluster.get(Service, key)
    return tuple(considered(service, *_circumstances(cluster, service, rules))) if service else ()


def _announced(cluster: Cluster, key: str, rules: Rules) -> Announcement:
    service = cluster.get(Service, key)
    return announcement(service, *_circumstances(cluster, service, rules)) if service else NOTHING


def _circumstances(
    cluster: Cluster, service: Service, rules: Rules
) -> tuple[tuple[EndpointSlice, ...], Labels, Rules, ProgrammedService | None]:
    """What decides about one service, besides itself."""
    labels, programmed = _labels(cluster, service.namespace), cluster.get(ProgrammedService, service.key)
    return cluster.slices_of(service.key), labels, rules, programmed


def _labels(cluster: Cluster, namespace: str) -> Labels:
    """The namespace's labels, with the one the API server gives every namespace."""
    found = cluster.get(Namespace, namespace)
    return {"kubernetes.io/metadata.name": namespace, **(found.metadata.labels if found else {})}
