"""Who a rule speaks of, in canonical form: selectors that mean the same are equal, and so share one set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdctl.addresses import Address, Family, Prefix
from birdctl.cluster.objects import LabelSelector

Requirement = tuple[str, str, tuple[str, ...]]
"""Key, operator, sorted values."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A metav1.LabelSelector; `requirements` are sorted and each there once."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, selector: LabelSelector) -> Selector:
        labels: Iterable[Requirement] = ((key, "In", (value,)) for key, value in selector.match_labels.items())
        expressions = ((one.key, one.operator, tuple(sorted(set(one.values)))) for one in selector.match_expressions)
        return cls(tuple(sorted({*labels, *expressions})))

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(_holds(requirement, labels) for requirement in self.requirements)

    @property
    def anchor(self) -> tuple[str, tuple[str, ...]] | None:
        """A label key, and the values one of which must be there; None if any labels may match."""
        return next(((key, values) for key, operator, values in self.requirements if operator == "In"), None)

    def __str__(self) -> str:
        return ",".join(map(_text, self.requirements))


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    key, operator, values = requirement
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def _text(requirement: Requirement) -> str:
    key, operator, values = requirement
    match operator:
        case "In" if len(values) == 1:
            return f"{key}={values[0]}"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case _:
            return f"{key} {operator.lower()} ({','.join(values)})"


EVERY = Selector()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A pod with addresses of its own. `space` are its namespace's labels; `ports` maps name and protocol."""

    key: str
    namespace: str
    labels: Mapping[str, str]
    space: Mapping[str, str]
    addresses: tuple[Address, ...]
    ports: Mapping[tuple[str, str], tuple[int, ...]]
    local: bool

    def numbers(self, name: str, protocol: str | None) -> Iterator[tuple[str, int]]:
        """Protocol and number of each container port of this name (and protocol, if given)."""
        for (port, its_protocol), numbers in self.ports.items():
            if port == name and protocol in (None, its_protocol):
                yield from ((its_protocol, number) for number in numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A prefix without some of its parts."""

    prefix: Prefix
    excepts: tuple[Prefix, ...] = ()

    def holds(self, address: Address) -> bool:
        return address in self.prefix and not any(address in each for each in self.excepts)

    def __str__(self) -> str:
        return f"{self.prefix} except {', '.join(map(str, self.excepts))}" if self.excepts else str(self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The pods of one namespace, or of those that `namespaces` selects, as far as their addresses are `within` a block.

    `port` (name, and protocol unless any) means their container ports of this name rather than their addresses.
    """

    pods: Selector = EVERY
    namespace: str | None = None
    namespaces: Selector = EVERY
    port: tuple[str, str | None] | None = None
    within: Block | None = None

    def match(self, endpoint: Endpoint) -> bool:
        return self.in_namespace(endpoint.namespace, endpoint.space) and self.pods.matches(endpoint.labels)

    def in_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        return name == self.namespace if self.namespace is not None else self.namespaces.matches(labels)

    def __str__(self) -> str:
        port = f"port {self.port[0]} of " if self.port else ""
        pods = f"pods {self.pods}" if self.pods.requirements else "all pods"
        pods += f" within {self.within}" if self.within else ""
        if self.namespace is not None:
            return f"{port}{pods} of namespace {self.namespace}"
        where = f"namespaces {self.namespaces}" if self.namespaces.requirements else "all namespaces"
        return f"{port}{pods} of {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The addresses of these nodes."""

    nodes: Selector

    def __str__(self) -> str:
        return f"nodes {self.nodes}" if self.nodes.requirements else "all nodes"


Peer = Pods | Block | Nodes
"""None where a peer may be missing is everybody."""


def in_family(peer: Peer | None, family: Family) -> bool:
    """Whether the peer can have addresses of this family."""
    block = peer.within if isinstance(peer, Pods) else peer
    return not isinstance(block, Block) or block.prefix.version == (4 if family is Family.IPV4 else 6)
