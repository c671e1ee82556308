"""Three nodes, nine pods and a host outside, in network namespaces, with a prober in each.

Two nodes route to their pods over a veth each, the second has them on a bridge, as CNI plugins do. Addresses of both
families exist only inside.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bird.daemon import _ENDS_WITH_US, Namespace
from tests.polling import eventually

PROBER = Path(__file__).with_name("prober.py")
PORTS = (("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 81))
PATIENCE = 0.5
"""Seconds after which a probe counts as unanswered."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a prober is: a node, a pod, or the host outside. `addresses`: IPv4, then IPv6."""

    name: str
    addresses: tuple[str, str]
    node: str = ""


@dataclass(frozen=True, kw_only=True)
class NodePlace(Place):
    pod_cidrs: tuple[str, str]
    bridged: bool = False


Probe = tuple[str, str, str, int]
"""From a place, to a place or an address, by protocol and port."""


class Prober:
    """The process in one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        command = namespace.command(*_ENDS_WITH_US, sys.executable, "-I", "-S", str(PROBER))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asking = threading.Lock()

    def ask(self, *request: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with self._asking:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Network:
    """Everything is up, and everybody reaches everybody, when it is entered."""

    def __init__(self, nodes: Iterable[NodePlace], pods: Iterable[Place], outside: Place) -> None:
        self.nodes = {each.name: each for each in nodes}
        self.pods = {each.name: each for each in pods}
        self.outside = outside
        self.places: dict[str, Place] = {**self.nodes, **self.pods, outside.name: outside}
        self.namespaces: dict[str, Namespace] = {}
        self.probers: dict[str, Prober] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            wire = stack.enter_context(Namespace())
            ip(wire, ["link add br0 type bridge mcast_snooping 0", "link set br0 up"])
            for name in self.places:
                self.namespaces[name] = stack.enter_context(Namespace())
            for number, name in enumerate([*self.nodes, self.outside.name]):
                self._attach(wire, number, self.places[name])
            for name in self.nodes:
                self._make_node(self.nodes[name])
            for pod in self.pods.values():
                self._make_pod(pod)
            for place in self.places.values():
                self._start_prober(place, stack)
            for family in (0, 1):
                eventually(partial(self._is_open, family))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def add_pod(self, pod: Place) -> None:
        """A pod that starts now."""
        self.pods[pod.name] = self.places[pod.name] = pod
        self.namespaces[pod.name] = self._stack.enter_context(Namespace())
        self._make_pod(pod)
        self._start_prober(pod, self._stack)

    def everything(self) -> list[Probe]:
        """From every place to every place, at every port."""
        return [(one, other, *port) for one in self.places for other in self.places for port in PORTS]

    def probe(self, probes: Sequence[Probe], family: int = 0, seconds: float = PATIENCE) -> dict[Probe, str]:
        """What became of each, all at once; `family` 0 is IPv4, 1 is IPv6."""
        targets: dict[str, list[Probe]] = {}
        for each in probes:
            targets.setdefault(each[0], []).append(each)

        def ask(name: str) -> list[str]:
            wanted = [(protocol, self.address(to, family), port) for _, to, protocol, port in targets[name]]
            found: list[str] = self.probers[name].ask("probe", seconds, wanted)
            return found

        with ThreadPoolExecutor(len(targets)) as pool:
            answers = pool.map(ask, targets)
        pairs = zip(targets.values(), answers, strict=True)
        return {probe: answer for of_one, found in pairs for probe, answer in zip(of_one, found, strict=True)}

    def address(self, place: str, family: int = 0) -> str:
        """Of a place by its name; an address is its own."""
        return self.places[place].addresses[family] if place in self.places else place

    def _start_prober(self, place: Place, stack: ExitStack) -> None:
        prober = self.probers[place.name] = Prober(self.namespaces[place.name])
        stack.callback(prober.close)
        for address in place.addresses:
            for protocol, port in PORTS:
                assert prober.ask("listen", protocol, address, port)

    def _is_open(self, family: int) -> bool:
        return set(self.probe(self.everything(), family).values()) == {"open"}

    def _attach(self, wire: Namespace, number: int, place: Place) -> None:
        """A cable to the switch that is everybody's underlay."""
        namespace = self.namespaces[place.name]
        ip(wire, [f"link add port{number} type veth peer name eth0 netns {namespace.pid}"])
        ip(wire, [f"link set port{number} master br0 up"])
        four, six = place.addresses
        others = [node for node in self.nodes.values() if node is not place]
        lines = [f"addr add {four}/24 dev eth0", f"addr add {six}/64 dev eth0", "link set eth0 up"]
        lines += [
            f"route add {cidr} via {gateway}"
            for node in others
            for cidr, gateway in zip(node.pod_cidrs, node.addresses, strict=True)
        ]
        ip(namespace, lines)

    def _make_node(self, node: NodePlace) -> None:
        namespace = self.namespaces[node.name]
        settings = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, **UNLIMITED}
        if node.bridged:
            settings |= {
                "net.bridge.bridge-nf-call-iptables": 0,
                "net.bridge.bridge-nf-call-ip6tables": 0,
            }  # agents see to it
            gateways = [f"{gateway}/{prefix}" for gateway, prefix in _gateways(node)]
            lines = ["link add cni0 type bridge mcast_snooping 0", "link set cni0 up"]
            ip(namespace, [*lines, *(f"addr add {each} dev cni0" for each in gateways)])
        sysctl(namespace, settings)

    def _make_pod(self, pod: Place) -> None:
        node, inside, outside = self.nodes[pod.node], self.namespaces[pod.name], self.namespaces[pod.node]
        link = f"v{abs(hash(pod.name)) % 10**9}"
        ip(outside, [f"link add {link} type veth peer name eth0 netns {inside.pid}", f"link set {link} up"])
        if node.bridged:
            ip(outside, [f"link set {link} master cni0"])
            lines = ["link set eth0 up"]
            for address, (gateway, length) in zip(pod.addresses, _gateways(node), strict=True):
                lines += [f"addr add {address}/{length} dev eth0", f"route add default via {gateway}"]
            ip(inside, lines)
            return
        four, six = pod.addresses
        gateways = [f"addr add 169.254.1.1/32 dev {link}", f"addr add fe80::1/64 dev {link}"]
        ip(outside, [*gateways, f"route add {four}/32 dev {link}", f"route add {six}/128 dev {link}"])
        ip(
            inside,
            [
                *(f"addr add {address} dev eth0" for address in pod.addresses),
                "link set eth0 up",
                "route add 169.254.1.1 dev eth0 scope link",
                "route add default via 169.254.1.1",
                "route add default via fe80::1 dev eth0",
            ],
        )


UNLIMITED = {
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
    "net.ipv4.icmp_msgs_per_sec": 1_000_000,
    "net.ipv4.icmp_msgs_burst": 1_000_000,
}
"""A kernel refuses few connections a second by ICMP, and leaves the others to their patience."""


def _gateways(node: NodePlace) -> list[tuple[str, int]]:
    """The bridge's addresses, with the length of the pods' prefix."""
    prefixes = [ip_network(cidr) for cidr in node.pod_cidrs]
    return [(str(prefix[1]), prefix.prefixlen) for prefix in prefixes]


def ip(namespace: Namespace, lines: Sequence[str]) -> None:
    """ip(8) with many commands inside a namespace."""
    for family in ("-4", "-6"):
        own = [line for line in lines if (":" in line) == (family == "-6")]
        command = namespace.command("ip", family, "-batch", "-")
        done = subprocess.run(command, input="\n".join(own), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{own}: {done.stderr}"


def sysctl(namespace: Namespace, settings: Mapping[str, int]) -> None:
    words = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(namespace.command("sysctl", "-q", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
