"""The service compiler: from Service and EndpointSlice objects to the virtual servers of one node.

Pure: the same objects in any order give the same state. A compiler keeps what it found out only to make the next
compilation cost as much as the change; compiling everything afresh gives the same. Values that a change does not touch
stay the same objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from birdctl.addresses import Address
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.objects import EndpointSlice, Node, Object, Pod, Service
from birdctl.cluster.store import Cluster, Key
from birdctl.errors import InputError
from birdctl.services.compile.belonging import Belonging
from birdctl.services.compile.book import ServiceBook
from birdctl.services.compile.part import Omission, Served, ServicePart
from birdctl.services.compile.service import service_part, without_service
from birdctl.services.compile.surroundings import Surroundings, survey
from birdctl.services.model import ServerKey, ServiceState
from birdctl.services.options import ServiceOptions

__all__ = ["KINDS", "Compiled", "Omission", "Served", "ServiceCompiler", "ServicePart"]

KINDS: tuple[type[Object], ...] = (Node, Service, EndpointSlice, Pod, AddressPool)
"""What services are compiled from. Pods only say how long their terminating endpoints may take."""

_AROUND = frozenset({Node.__name__, AddressPool.__name__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The desired state, and what each service became by `namespace/name`, those included that only slices speak of.
    `problems` are sorted.

    `touched` are the keys of virtual servers that came, went or changed since the last compilation, None when all may
    have. `grace` are the seconds that the terminating endpoints' pods have, by address, of pods that are known.
    """

    state: ServiceState
    touched: frozenset[ServerKey] | None
    services: Mapping[str, ServicePart]
    problems: tuple[InputError, ...]
    grace: Mapping[Address, float]


class ServiceCompiler:
    """Compiles for one node; owned by one thread."""

    def __init__(self, node: str, options: ServiceOptions) -> None:
        self._node = node
        self._options = options
        self._local: frozenset[Address] = frozenset()
        self._around: Surroundings | None = None

    def compile(
        self, cluster: Cluster, *, local: Collection[Address] = (), dirty: Collection[Key] | None = None
    ) -> Compiled:
        """The node's state. `dirty` are the keys changed since the last call, None for all. `local` are all addresses
        that the node has itself, those of the VIP device excepted.
        """
        before = None if dirty is None else self._around
        self._around = self._survey(cluster, frozenset(local), dirty)
        if before is None or dirty is None:
            self._book = ServiceBook()
            self._belonging = Belonging(cluster)
            concerned = self._belonging.all(cluster)
        else:
            concerned = self._belonging.concerned(cluster, dirty) | self._shaken(before, self._around)
        touched = self._book.update({each: _part(cluster, each, self._around) for each in sorted(concerned)})
        return Compiled(
            state=self._book.state(self._around),
            touched=None if before is None else touched,
            services=dict(self._book.parts),
            problems=_told((*self._around.problems, *self._book.problems())),
            grace=self._book.grace(cluster.objects(Pod)),
        )

    def _survey(self, cluster: Cluster, local: frozenset[Address], dirty: Collection[Key] | None) -> Surroundings:
        """That of the last compilation if nothing it was made from has changed."""
        kept = self._around
        if kept and dirty is not None and local == self._local and not any(kind in _AROUND for kind, _ in dirty):
            return kept
        self._local = local
        return survey(self._node, self._options, cluster, local)

    def _shaken(self, before: Surroundings, after: Surroundings) -> set[str]:
        """The services that other surroundings may change."""
        if before.context != after.context:
            return set(self._book.parts)
        if before.hosts != after.hosts:
            return {service for service, part in self._book.parts.items() if part.looks_at_nodes}
        return set()


def _told(problems: Iterable[InputError]) -> tuple[InputError, ...]:
    """Sorted, and each once: both families may have the same."""
    by_text = {str(problem): problem for problem in problems}
    return tuple(by_text[text] for text in sorted(by_text))


def _part(cluster: Cluster, key: str, around: Surroundings) -> ServicePart | None:
    service, slices = cluster.get(Service, key), cluster.slices_of(key)
    if service:
        return service_part(service, slices, around.context, around.hosts)
    if (Service.__name__, key) in cluster.errors:  # which is told already
        return None
    return without_service(key, slices)
