"""Nodes with pods on a bridge, a router, and a client beyond it: network namespaces, in which Services are proxied.

    client -- router --+-- n1 -- n1-a, n1-b, ...      the router's cables to the nodes are on one bridge; it and the
                       +-- n2 -- n2-a, n2-b, ...      nodes have a route to each node's pods
                       +-- ...

Every place has both families. A pod serves PORT by TCP and by UDP, on all of its addresses: tests/vm/sockets.py.
"""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from string import ascii_lowercase
from types import TracebackType
from typing import Any, Self

from birdctl.addresses import Address, Family, Prefix
from birdctl.services.model import Protocol
from tests.agents import AgentNode, Manifests
from tests.bird.daemon import Namespace
from tests.vm.sockets import Answer, Connection, Servers

PORT = 8080


@dataclass(frozen=True, eq=False)
class Place:
    """Where connections come from and go to."""

    name: str
    namespace: Namespace
    addresses: Mapping[Family, Address]

    def connect(self, address: Address | str, port: int, protocol: Protocol = Protocol.TCP, **how: Any) -> Connection:
        """`how`: Connection's `source` and `timeout`."""
        return Connection(self.namespace, address, port, protocol, **how)

    def ask(self, address: Address | str, port: int, protocol: Protocol = Protocol.TCP, **how: Any) -> Answer:
        """By a connection of its own. Raises OSError as sockets do."""
        with self.connect(address, port, protocol, **how) as connection:
            return connection.ask()

    def count(
        self, address: Address | str, port: int, protocol: Protocol = Protocol.TCP, *, times: int, **how: Any
    ) -> Counter[str]:
        """How many of so many connections each server answered; a failed one counts for its error's name."""

        def one() -> str:
            try:
                return self.ask(address, port, protocol, **how).name
            except OSError as error:
                return type(error).__name__

        return Counter(one() for _ in range(times))


@dataclass(frozen=True, eq=False)
class Pod(Place):
    node: str


@dataclass(frozen=True, eq=False)
class Node(Place):
    pod_cidrs: Mapping[Family, Prefix]

    @property
    def gateways(self) -> dict[Family, Address]:
        """Its own addresses on the pods' bridge."""
        return {of: prefix[1] for of, prefix in self.pod_cidrs.items()}

    def agent(self, folder: Path, manifests: Manifests) -> AgentNode:
        """Its agent, which proxies services; not started."""
        source = [f"--manifests={manifests.folder}", "--run-service-proxy"]
        return AgentNode(self.name, self.namespace, folder, source)

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        addresses = [{"type": "InternalIP", "address": str(each)} for each in self.addresses.values()]
        cidrs = [str(each) for each in self.pod_cidrs.values()]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
            "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]},
        }


class World:
    """Everything is up when it is entered, and gone when it is left."""

    def __init__(self, *, nodes: int = 2, pods: int = 2) -> None:
        self._sizes = nodes, pods
        self._numbers = itertools.count(2)
        self._stack = ExitStack()
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}

    def __enter__(self) -> Self:
        nodes, pods = self._sizes
        with self._stack:
            self.servers = Servers()
            self._stack.callback(self.servers.close)
            self._add_router_and_client()
            for number in range(1, nodes + 1):
                self._add_node(number)
            for node in self.nodes:
                for letter in ascii_lowercase[:pods]:
                    self.add_pod(f"{node}-{letter}")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def add_pod(self, name: str) -> Pod:
        """On the node that its name begins with."""
        node = self.nodes[name.partition("-")[0]]
        number = next(self._numbers)
        addresses = {of: prefix[number] for of, prefix in node.pod_cidrs.items()}
        self.pods[name] = pod = Pod(name, self._namespace(), addresses, node.name)
        _connect(node.namespace, name, pod.namespace, "master cni0")
        _ip(pod.namespace, [*_up("eth0", pod.addresses), *_default(node.gateways)])
        for protocol in (Protocol.TCP, Protocol.UDP):
            self.servers.listen(pod.namespace, name, PORT, protocol)
        return pod

    def remove_pod(self, name: str) -> None:
        """It is gone without a word."""
        pod = self.pods.pop(name)
        _ip(self.nodes[pod.node].namespace, [f"link delete {name}"])
        self.servers.stop(pod.namespace)
        pod.namespace.close()

    def _namespace(self) -> Namespace:
        return self._stack.enter_context(Namespace())

    def _add_router_and_client(self) -> None:
        self.router = Place("router", self._namespace(), _both("198.18.0.254", "2001:db8::fe"))
        self.client = Place("client", self._namespace(), _both("198.18.1.2", "2001:db8:1::2"))
        gateways = _both("198.18.1.1", "2001:db8:1::1")
        _forward(self.router.namespace)
        _connect(self.router.namespace, "client", self.client.namespace)
        lines = [
            *_up("client", gateways),
            "link add br0 type bridge mcast_snooping 0",
            *_up("br0", self.router.addresses),
        ]
        _ip(self.router.namespace, lines)
        _ip(self.client.namespace, [*_up("eth0", self.client.addresses), *_default(gateways)])

    def _add_node(self, number: int) -> None:
        addresses = _both(f"198.18.0.{number}", f"2001:db8::{number}")
        node = Node(f"n{number}", self._namespace(), addresses, _prefixes(number))
        _forward(node.namespace)
        _connect(self.router.namespace, node.name, node.namespace, "master br0")
        others = [route for other in self.nodes.values() for route in _to_pods_of(other)]
        lines = [*_up("eth0", node.addresses), *_default(self.router.addresses), *others]
        _ip(node.namespace, [*lines, "link add cni0 type bridge mcast_snooping 0", *_up("cni0", node.gateways)])
        for other in (self.router, *self.nodes.values()):
            _ip(other.namespace, _to_pods_of(node))
        self.nodes[node.name] = node


def _ip(namespace: Namespace, lines: Sequence[str]) -> None:
    with namespace.inside():
        done = subprocess.run(
            ["ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, f"{lines}: {done.stderr}"


def _forward(namespace: Namespace) -> None:
    with namespace.inside():
        for each in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", each).write_text("1")


def _both(four: str, six: str) -> dict[Family, Address]:
    return {Family.IPV4: ip_address(four), Family.IPV6: ip_address(six)}


def _prefixes(number: int) -> dict[Family, Prefix]:
    return {Family.IPV4: ip_network(f"10.244.{number}.0/24"), Family.IPV6: ip_network(f"fd00:244:{number}::/64")}


def _connect(here: Namespace, name: str, there: Namespace, how: str = "") -> None:
    """A cable from `name` here to eth0 there."""
    _ip(here, [f"link add {name} type veth peer name eth0 netns {there.pid}", f"link set {name} {how} up"])


def _up(device: str, addresses: Mapping[Family, Address]) -> list[str]:
    lengths = {Family.IPV4: "24", Family.IPV6: "64"}
    lines = [f"address add dev {device} {address}/{lengths[of]}" for of, address in addresses.items()]
    return [*lines, f"link set {device} up"]


def _default(gateways: Mapping[Family, Address]) -> list[str]:
    return [f"route add default via {each}" for each in gateways.values()]


def _to_pods_of(node: Node) -> list[str]:
    return [f"route add {prefix} via {node.addresses[of]}" for of, prefix in node.pod_cidrs.items()]
