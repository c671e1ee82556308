"""Two nodes' agents that proxy the Services of a test, in tests/vm/world.py.

Each node is the way from outside to a range of external addresses: those for n1 come in at n1. n1 is in zone a, n2 in
zone b. Pods a and b of each node are for endpoints, pod c asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from birdctl.addresses import Address, Family, family
from birdctl.services.model import Protocol
from tests.agents import AgentNode, Manifests, converged
from tests.vm.objects import endpoints, service
from tests.vm.world import PORT, Place, Pod, World

ZONE = "topology.kubernetes.io/zone"
ZONES = {"n1": "a", "n2": "b"}
_EXTERNAL = {
    "n1": {Family.IPV4: "203.0.113.{}", Family.IPV6: "2001:db8:e:1::{:x}"},
    "n2": {Family.IPV4: "203.0.114.{}", Family.IPV6: "2001:db8:e:2::{:x}"},
}
_LOAD_BALANCER = {Family.IPV4: "203.0.115.{}", Family.IPV6: "2001:db8:e:3::{:x}"}
_RANGES = {
    "n1": ("203.0.113.0/24", "2001:db8:e:1::/64", "203.0.115.0/24", "2001:db8:e:3::/64"),
    "n2": ("203.0.114.0/24", "2001:db8:e:2::/64"),
}
_PREFIXES = ",".join(prefix for each in _RANGES.values() for prefix in each)
FLAGS = (
    "--run-router=false",
    "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
    f"--service-external-ip-range={_PREFIXES}",
    f"--loadbalancer-ip-range={_PREFIXES}",
)
Change = Callable[[dict[str, Any]], object]


def refuses(place: Place, address: Address | str, port: int, protocol: Protocol = Protocol.TCP) -> bool:
    """Whether it says so. The kernel says it to one client so many times a second, and a datagram is not repeated."""
    for _ in range(8):
        try:
            place.ask(address, port, protocol, timeout=0.5 if protocol is Protocol.UDP else 4)
        except (ConnectionRefusedError, PermissionError):  # the latter is IPVS's word to datagrams of its own node
            return True
        except TimeoutError:
            continue
        return False
    return False


@dataclass(frozen=True)
class Proxied:
    """A Service of its own: port 80 at each of its addresses, `node_ports` at nodes'."""

    number: int

    @property
    def name(self) -> str:
        """In the order in which they were made."""
        return f"service-{self.number:03}"

    def cluster_ip(self, of: Family) -> str:
        return {Family.IPV4: f"10.96.1.{self.number}", Family.IPV6: f"fd00:96::1{self.number:02x}"}[of]

    def external_ip(self, of: Family, through: str = "n1") -> str:
        """The one whose packets come in at node `through`."""
        return _EXTERNAL[through][of].format(self.number)

    def load_balancer_ip(self, of: Family) -> str:
        return _LOAD_BALANCER[of].format(self.number)

    def node_port(self, protocol: Protocol = Protocol.TCP) -> int:
        return 30000 + 10 * self.number + list(Protocol).index(protocol)


class Cluster:
    """Up, with no Service yet, when it is entered."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        self._flags = flags
        self._numbers = itertools.count(1)
        self.manifests = Manifests(folder / "manifests")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.world = stack.enter_context(World(nodes=2, pods=3))
            self.nodes, self.pods, self.client = self.world.nodes, self.world.pods, self.world.client
            for pod in self.pods.values():
                self.world.servers.listen(pod.namespace, pod.name, PORT, Protocol.SCTP)
            for node in self.nodes.values():
                self._add_node(node.name)
            self.agents = {node.name: node.agent(self._folder, self.manifests) for node in self.nodes.values()}
            for agent in self.agents.values():
                stack.callback(agent.close)
                self.start(agent.name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _add_node(self, name: str) -> None:
        node = self.nodes[name]
        document = node.document()
        document["metadata"]["labels"][ZONE] = ZONES[name]
        self.manifests.write(document)
        for prefix in map(ip_network, _RANGES[name]):
            self.world.router.namespace.run(f"ip route add {prefix} via {node.addresses[family(prefix)]}")

    @property
    def endpoints(self) -> list[Pod]:
        """The pods that endpoints are made of."""
        return [pod for pod in self.pods.values() if not pod.name.endswith("c")]

    @property
    def everybody(self) -> dict[str, Place]:
        """Who may ask, with names."""
        asking = {name: pod for name, pod in self.pods.items() if name.endswith("c")}
        return {**asking, **self.nodes, "client": self.client}

    def serve(
        self,
        pods: Iterable[str],
        protocols: Sequence[Protocol] = (Protocol.TCP,),
        annotations: Mapping[str, str] | None = None,
        conditions: Mapping[str, Mapping[str, bool]] | None = None,
        change: Change | None = None,
        **spec: Any,
    ) -> Proxied:
        """A new Service at addresses of every kind, on every node when this returns. `change` alters each slice."""
        made = Proxied(next(self._numbers))
        self.write(made, protocols, annotations, **spec)
        self.set_endpoints(made, pods, protocols, conditions, change)
        return made

    def write(
        self,
        made: Proxied,
        protocols: Sequence[Protocol] = (Protocol.TCP,),
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ip_mode: str = "VIP",
        **spec: Any,
    ) -> None:
        """The Service itself, new or in place of what it was. `ip_mode` of its load balancer IPs."""
        spec = {"type": "LoadBalancer", "clusterIPs": [*map(made.cluster_ip, Family)], **spec}
        external = [made.external_ip(of, node) for node in self.nodes for of in Family]
        document = service(made.name, protocols, annotations, **{"externalIPs": external, **spec})
        for port in document["spec"]["ports"]:
            if "nodePort" not in port:
                port["nodePort"] = made.node_port(port["protocol"])
        document["metadata"]["labels"] = labels or {}
        ingress = [{"ip": made.load_balancer_ip(of), "ipMode": ip_mode} for of in Family]
        self.manifests.write({**document, "status": {"loadBalancer": {"ingress": ingress}}})

    def set_endpoints(
        self,
        served: Proxied,
        pods: Iterable[str],
        protocols: Sequence[Protocol] = (Protocol.TCP,),
        conditions: Mapping[str, Mapping[str, bool]] | None = None,
        change: Change | None = None,
    ) -> None:
        slices = endpoints(served.name, [self.pods[name] for name in pods], protocols, conditions)
        for each in slices:
            for endpoint in each["endpoints"]:
                endpoint["zone"] = ZONES[endpoint["nodeName"]]
            if change:
                change(each)
        self.manifests.write(*slices)
        self.converge()

    def converge(self) -> None:
        converged(*self.agents.values(), timeout=60)

    def start(self, node: str) -> None:
        """Its agent, which does not run."""
        self.agents[node].start_agent(*FLAGS, *self._flags)

    def agent(self, node: str) -> AgentNode:
        return self.agents[node]
