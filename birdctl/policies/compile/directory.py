"""The pods that policies can speak of, by namespace and by address.

Those are the pods with addresses of their own that still run: a hostNetwork pod is its node, and the address of a
finished pod is free for the next. When two claim one address it is not the one's that is being deleted; then it is the
first one's, by namespace and name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from birdctl.addresses import Address, parse_address
from birdctl.cluster.objects import Namespace, Pod
from birdctl.cluster.store import Cluster, Key
from birdctl.policies.compile.peers import Endpoint
from birdctl.policies.compile.rules import HIGHEST_PORT, PROTOCOLS

NAME_LABEL = "kubernetes.io/metadata.name"

Change = tuple[Endpoint | None, Endpoint | None]
"""An endpoint before and after."""

_FINISHED = ("Succeeded", "Failed")


class Directory:
    """Kept up to date by dirty keys."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._endpoints: dict[str, dict[str, Endpoint]] = {}
        self._claims: dict[Address, set[str]] = {}
        self._claimed: dict[str, tuple[Address, ...]] = {}
        self._leaving: set[str] = set()
        self._spaces: dict[str, Mapping[str, str]] = {}
        self.local: dict[str, Endpoint] = {}

    def get(self, key: str) -> Endpoint | None:
        return self._endpoints.get(key.partition("/")[0], {}).get(key)

    def knows(self, address: Address) -> bool:
        """Whether it is any pod's."""
        return address in self._claims

    def by_namespace(self) -> Iterator[tuple[str, Mapping[str, str], Collection[Endpoint]]]:
        """Each namespace that has endpoints, its labels, and they."""
        for name, endpoints in self._endpoints.items():
            yield name, self._labels(name), endpoints.values()

    def in_namespace(self, name: str) -> Collection[Endpoint]:
        return self._endpoints.get(name, {}).values()

    def update(self, cluster: Cluster, dirty: Iterable[Key]) -> list[Change]:
        """What changed with these objects."""
        pods: set[str] = set()
        for kind, key in dirty:
            if kind == Pod.__name__:
                pods.add(key)
            elif kind == Namespace.__name__ and self._relabel(cluster, key):
                pods.update(self._endpoints.get(key, ()))
        self._leaving -= pods
        self._leaving.update(key for key in pods if (pod := cluster.get(Pod, key)) and pod.metadata.deletion_timestamp)
        wanted = {key: _addresses(cluster.get(Pod, key)) for key in pods}
        for key, addresses in wanted.items():
            pods |= self._claim(key, addresses)
        for key in pods - wanted.keys():
            wanted[key] = _addresses(cluster.get(Pod, key))
        return [change for key in sorted(pods) if (change := self._put(key, cluster.get(Pod, key), wanted[key]))]

    def _labels(self, namespace: str) -> Mapping[str, str]:
        return self._spaces.get(namespace) or MappingProxyType({NAME_LABEL: namespace})

    def _relabel(self, cluster: Cluster, name: str) -> bool:
        before = self._labels(name)
        namespace = cluster.get(Namespace, name)
        if namespace is None:
            self._spaces.pop(name, None)
        else:
            self._spaces[name] = namespace.metadata.labels
        return before != self._labels(name)

    def _claim(self, key: str, addresses: tuple[Address, ...]) -> set[str]:
        """The other pods that lose or gain an address now that this one claims these."""
        others: set[str] = set()
        for address in {*addresses, *self._claimed.get(key, ())}:
            claims = self._claims.setdefault(address, set())
            others |= claims
            if address in addresses:
                claims.add(key)
            else:
                claims.discard(key)
            if not claims:
                del self._claims[address]
        self._claimed[key] = addresses
        if not addresses:
            del self._claimed[key]
        return others

    def _owner(self, address: Address) -> str:
        return min(self._claims[address], key=lambda key: (key in self._leaving, key))

    def _put(self, key: str, pod: Pod | None, claimed: tuple[Address, ...]) -> Change | None:
        before, after = self.get(key), self._endpoint(key, pod, claimed)
        if before == after:
            return None
        namespace = key.partition("/")[0]
        self.local.pop(key, None)
        if after is None:
            endpoints = self._endpoints[namespace]
            del endpoints[key]
            if not endpoints:
                del self._endpoints[namespace]
        else:
            self._endpoints.setdefault(namespace, {})[key] = after
            if after.local:
                self.local[key] = after
        return before, after

    def _endpoint(self, key: str, pod: Pod | None, claimed: tuple[Address, ...]) -> Endpoint | None:
        addresses = tuple(address for address in claimed if self._owner(address) == key)
        if pod is None or not addresses:
            return None
        return Endpoint(
            key=key,
            namespace=pod.namespace,
            labels=pod.metadata.labels,
            space=self._labels(pod.namespace),
            addresses=addresses,
            ports=_ports(pod),
            local=pod.spec.node_name == self._node,
        )


def _addresses(pod: Pod | None) -> tuple[Address, ...]:
    """Its own addresses, those that can be read."""
    if pod is None or pod.spec.host_network or pod.status.phase in _FINISHED:
        return ()
    found: dict[Address, None] = {}
    for item in pod.status.pod_ips:
        try:
            found[parse_address(item.ip)] = None
        except ValueError:
            continue
    return tuple(found)


def _ports(pod: Pod) -> Mapping[tuple[str, str], tuple[int, ...]]:
    """Those that have a name and that there can be."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for container in pod.spec.running_containers:
        for port in container.ports:
            protocol = port.protocol.lower()
            if port.name and protocol in PROTOCOLS.values() and 1 <= port.container_port <= HIGHEST_PORT:
                name = (port.name, protocol)
                found[name] = tuple(sorted({*found.get(name, ()), port.container_port}))
    return found
