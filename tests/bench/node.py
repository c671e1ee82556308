"""One cluster node: its machine, its BIRD with the bootstrap configuration, its agent."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from birdctl.errors import Unavailable
from birdctl.routing.bird import BirdSocket
from tests.bench.network import Network, inside, ip
from tests.bench.objects import SERVICE_RANGE, node_name, pod_cidr
from tests.polling import eventually

BIRDCTL = Path(sys.executable).parent / "birdctl"
BOOTSTRAP = Path(__file__).parents[2] / "bird-templates/bootstrap.conf"


def answers(socket: Path) -> bool:
    """A BIRD with this control socket is there."""
    try:
        BirdSocket(socket).close()
    except Unavailable:
        return False
    return True


class Node:
    """Its files are in a folder of its own; the machine knows all of `others` (indexes) from the start."""

    def __init__(self, network: Network, scratch: Path, index: int, others: Iterable[int]) -> None:
        self.index = index
        self.name = node_name(index)
        self.prefix = pod_cidr(index)
        self.folder = scratch / self.name
        self._network = network
        self.agent: subprocess.Popen[bytes] | None = None
        self.bird: subprocess.Popen[bytes] | None = None
        network.add(self.name, [index])
        self.meet((other, other) for other in others)

    @property
    def socket(self) -> Path:
        return self.folder / "bird.ctl"

    @property
    def config(self) -> Path:
        return self.folder / "bird.conf"

    @property
    def runtime_dir(self) -> Path:
        return self.folder / "run"

    def meet(self, machines: Iterable[tuple[int, int]]) -> None:
        self._network.introduce(self.name, ((one, owner) for one, owner in machines if owner != self.index))

    def start_bird(self) -> None:
        """As its sidecar starts it on a new node; returns when it answers."""
        self.folder.mkdir(exist_ok=True)
        shutil.copy(BOOTSTRAP, self.config)
        command: list[str | Path] = ["bird", "-f", "-R", "-c", self.config, "-s", self.socket]
        self.bird = self._network.start(command, on=self.name, log=self.folder / "bird.log")
        eventually(lambda: answers(self.socket))

    def start_agent(self, source: Sequence[str | Path]) -> float:
        """Starts the agent on a source (`--kubeconfig FILE` or `--manifests DIR`). Returns when (monotonic)."""
        begun = time.monotonic()
        command = [BIRDCTL, "agent", *self.flags, *source]
        self.agent = self._network.start(command, on=self.name, log=self.folder / "agent.log")
        return begun

    @property
    def flags(self) -> list[str | Path]:
        """The agent's, but for its source."""
        return ["--node", self.name, *self.places, "--service-external-ip-range", SERVICE_RANGE]

    @property
    def places(self) -> list[str | Path]:
        """Where its BIRD and its agent are."""
        return [
            *("--bird-socket", self.socket),
            *("--bird-config", self.config),
            *("--runtime-dir", self.runtime_dir),
        ]

    def kill_agent(self) -> None:
        if self.agent:
            self._network.end(self.agent)
            self.agent = None

    def leave(self) -> None:
        """Ends agent and BIRD as an administrator would, and forgets everything: a new machine of the same name."""
        self.kill_agent()
        if self.bird:
            self.bird.terminate()
            self.bird.wait()
            self._network.end(self.bird)
        subprocess.run(["ip", "-n", self.name, "route", "flush", "proto", "bird"], check=True, capture_output=True)
        shutil.rmtree(self.folder)

    def add_pods(self) -> str:
        """A bridge with an address of the pod prefix, as a CNI makes it. Returns the address."""
        pod = self.prefix.replace(".0/24", ".1")
        ip(["link add pods type bridge", f"addr add {pod}/24 dev pods", "link set pods up"], self.name)
        return pod

    def started_sessions(self) -> dict[str, str]:
        """Since when each BGP session is Established, by protocol."""
        reply = subprocess.run(
            ["birdc", "-s", self.socket, "show", "protocols"], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in reply.stdout.splitlines() if " BGP " in line and "Established" in line]
        return {row[0]: row[4] for row in rows}

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A `birdctl` verb on this node."""
        with inside(self.name):
            return subprocess.run([BIRDCTL, *arguments], capture_output=True, text=True, check=True)


class Mesh:
    """Nodes 1..size with running BIRDs; `spare` more addresses are known to all from the start."""

    def __init__(self, network: Network, scratch: Path, size: int, spare: int = 0) -> None:
        indexes = range(1, size + spare + 1)
        self.nodes = [Node(network, scratch, index, indexes) for index in indexes[:size]]
        self.spares = [Node(network, scratch, index, indexes) for index in indexes[size:]]
        for node in (*self.nodes, *self.spares):
            node.start_bird()

    @property
    def names(self) -> list[str]:
        return [node.name for node in (*self.nodes, *self.spares)]
