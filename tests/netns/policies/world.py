"""The cluster that the network stands for: its objects in a folder, and a real agent on each node."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from birdctl.errors import BirdctlError
from birdctl.reconcile.control import ask
from tests.bird.daemon import _ENDS_WITH_US, Namespace
from tests.netns.policies.network import PORTS, Network, NodePlace, Place, Probe
from tests.polling import eventually

Document = dict[str, Any]
NODES = tuple(
    NodePlace(
        name=f"node{number}",
        addresses=(f"172.30.0.{number}", f"fd30::{number}"),
        pod_cidrs=(f"10.244.{number}.0/24", f"fd10:{number}::/64"),
        bridged=number == 2,
    )
    for number in (1, 2, 3)
)
OUTSIDE = Place(name="outside", addresses=("172.30.0.100", "fd30::100"))
NAMESPACES = ("shop", "pay", "mail")


class Connection(NamedTuple):
    """`port` is as in `80/TCP`."""

    source: str
    target: str
    port: str


Allowed = Callable[[Connection], bool]
HINTS = {"nft": "iptables-nft", "legacy": "iptables-legacy"}


def place(namespace: str, name: str, node: int, host: int) -> Place:
    return Place(
        name=f"{namespace}/{name}",
        addresses=(f"10.244.{node}.{host}", f"fd10:{node}::{host}"),
        node=f"node{node}",
    )


PODS = tuple(
    place(namespace, name, 1 + (row + column) % 3, 10 + row * 10 + column)
    for row, namespace in enumerate(NAMESPACES)
    for column, name in enumerate(("a", "b", "c"))
)
"""Each namespace has a pod on each node, each node three pods."""


def network() -> Network:
    return Network(NODES, PODS, OUTSIDE)


def pod_document(pod: Place, labels: Mapping[str, str], **spec: Any) -> Document:
    namespace, _, name = pod.name.partition("/")
    ports = [
        {"name": f"{protocol.lower()}-{port}", "containerPort": port, "protocol": protocol} for protocol, port in PORTS
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"nodeName": pod.node, "containers": [{"name": "main", "ports": ports}], **spec},
        "status": {
            "phase": "Running",
            "podIP": pod.addresses[0],
            "podIPs": [{"ip": address} for address in pod.addresses],
        },
    }


def namespace_document(name: str, **labels: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def node_document(node: NodePlace) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name},
        "spec": {"podCIDR": node.pod_cidrs[0], "podCIDRs": list(node.pod_cidrs)},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address} for address in node.addresses],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


class Agent:
    """The agent of one node, with the firewall alone."""

    def __init__(self, name: str, namespace: Namespace, folder: Path, manifests: Path, flags: Sequence[str]) -> None:
        self.name = name
        self.run = folder / name
        self.log = folder / f"{name}.log"
        files = (f"--manifests={manifests}", f"--runtime-dir={self.run}")
        own = (f"--node={name}", "--run-router=false", "--run-firewall", "--metrics-port=0", "--health-port=0")
        self._command = namespace.command(
            *_ENDS_WITH_US, sys.executable, "-m", "birdctl", "agent", *own, *files, *flags
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(10)

    def stop_after(self, seconds: float) -> None:
        """Killed after so long, or when it was at the end of what it did."""
        assert self._process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.stop(signal.SIGKILL)

    def status(self) -> Document:
        """Empty while it does not answer."""
        try:
            return ask(self.run, "status")
        except BirdctlError:
            return {}

    def sync(self) -> None:
        """Waits until everything written so far is in the kernel."""
        eventually(lambda: self.status().get("lastSync"))
        eventually(lambda: ask(self.run, "sync", timeout=10)["converged"])  # not while it reads its settings


class World:
    """Objects and agents over a network. What is changed counts with `sync`, or as soon as an agent sees it."""

    def __init__(self, network: Network, folder: Path, mode: str, *flags: str) -> None:
        self.network = network
        self.iptables = f"iptables-{mode}"
        self.folder = folder
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.namespaces = {name: namespace_document(name, team=name) for name in NAMESPACES}
        self.pods: dict[str, Document] = {}
        self._settings: dict[str, str] = {}
        self.set()
        flags = (f"--config={self.folder / 'settings.yaml'}", *flags)
        self.agents = {
            name: Agent(name, network.namespaces[name], folder, self.manifests, flags) for name in network.nodes
        }
        for name in network.nodes:
            use_mode(network.namespaces[name], mode)
        self.reset()

    def __enter__(self) -> Self:
        for agent in self.agents.values():
            agent.start()
        self.sync()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for agent in self.agents.values():
            agent.stop()

    def reset(self) -> None:
        """No policies, the labels of the beginning."""
        self.pods = {pod.name: pod_document(pod, {"pod": pod.name[-1]}) for pod in self.network.pods.values()}
        self.namespaces = {name: namespace_document(name, team=name) for name in NAMESPACES}
        self.write("nodes", (node_document(node) for node in self.network.nodes.values()))
        self.write_pods()
        self.write_namespaces()
        self.policies()

    def set(self, **settings: str) -> None:
        """Changes settings of all agents."""
        self._settings |= {name.replace("_", "-"): value for name, value in settings.items()}
        new = self.folder / ".settings"
        new.write_text(json.dumps(self._settings))
        new.replace(self.folder / "settings.yaml")

    def write(self, name: str, documents: Iterable[Document]) -> None:
        """A file of manifests, whole."""
        new = self.manifests / f".{name}"
        new.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)}))
        new.replace(self.manifests / f"{name}.json")

    def write_pods(self) -> None:
        self.write("pods", self.pods.values())

    def write_namespaces(self) -> None:
        self.write("namespaces", self.namespaces.values())

    def policies(self, *documents: Document) -> None:
        """These and no others."""
        self.write("policies", documents)

    def label(self, pod: str, /, **labels: str) -> None:
        self.pods[pod]["metadata"]["labels"] |= labels
        self.write_pods()

    def sync(self) -> None:
        with ThreadPoolExecutor(len(self.agents)) as pool:
            list(pool.map(Agent.sync, self.agents.values()))

    def wrong(self, allowed: Allowed, probes: Sequence[Probe] = (), family: int = 0) -> list[str]:
        """What packets say otherwise; nodes always reach their pods, and pods their node."""
        self.sync()
        expected = {
            probe: self._is_local(probe) or allowed(Connection(probe[0], probe[1], f"{probe[3]}/{probe[2]}"))
            for probe in probes or self.network.everything()
        }
        found = self.network.probe([*expected], family)
        if late := [probe for probe, is_open in expected.items() if is_open and found[probe] == "timeout"]:
            found |= self.network.probe(late, family, 5.0)  # a busy machine closes nothing
        return [
            f"{source} -> {target} {port}/{protocol}: {found[source, target, protocol, port]}"
            for (source, target, protocol, port), is_open in expected.items()
            if (found[source, target, protocol, port] == "open") != is_open
        ]

    def _is_local(self, probe: Probe) -> bool:
        """To itself, or from or to its own node."""
        source, target, *_ = probe
        places = self.network.places
        return source in (target, places[target].node) or target == places[source].node


def use_mode(namespace: Namespace, mode: str) -> None:
    """What kubelet leaves behind for others to see which iptables the host uses."""
    for program in (HINTS[mode], HINTS[mode].replace("ip", "ip6", 1)):
        done = subprocess.run(
            namespace.command(program, "-w", "10", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def world(folder: Path, mode: str, *flags: str) -> Iterator[World]:
    with network() as net, World(net, folder, mode, *flags) as found:
        yield found


def policy(name: str, namespace: str, selector: Mapping[str, Any] | None = None, **spec: Any) -> Document:
    """A NetworkPolicy; `selector` are matchLabels."""
    chosen = {"matchLabels": dict(selector)} if selector else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": chosen, **spec},
    }
