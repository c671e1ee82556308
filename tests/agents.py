"""Nodes of a test cluster: a namespace, a real BIRD and a real agent that reads a shared folder of manifests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from birdctl.errors import BirdctlError
from birdctl.observe.peers import peers
from birdctl.reconcile.control import ask
from birdctl.routing import inventory as inventories
from birdctl.routing.commit import BirdBackend
from tests.bird.daemon import _ENDS_WITH_US, Bird, Namespace
from tests.birds import bird_program
from tests.polling import eventually

BOOTSTRAP = Path("birdctl/bird-templates/bootstrap.conf").read_text()


def node(name: str, address: str, pod_cidr: str, **annotations: str) -> dict[str, Any]:
    """A ready Node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


class Manifests:
    """A folder that agents watch; each object has a file of its own, written whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, *objects: dict[str, Any]) -> None:
        for each in objects:
            path = self._path(each["kind"], each["metadata"]["name"])
            new = path.with_suffix(".new")
            new.write_text(json.dumps(each))
            new.replace(path)

    def remove(self, kind: str, name: str) -> None:
        self._path(kind, name).unlink()

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / f"{kind}-{name}.yaml".lower()


class AgentNode:
    """One node. Its BIRD and agent are started and ended by the test; `close` ends what is left.

    `source` are the agent's flags for it. The agent needs no network but an API server's: with `outside` it runs in
    the namespace of the test.
    """

    def __init__(
        self, name: str, namespace: Namespace, folder: Path, source: Sequence[str], *, outside: bool = False
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.folder = folder / name
        self.run = self.folder / "run"
        self.bird = Bird(bird_program("system"), namespace, self.folder)
        self.log = self.folder / "agent.log"
        self._source = source
        self._outside = outside
        self._agent: subprocess.Popen[bytes] | None = None

    def start_bird(self, *options: str) -> None:
        """With the configuration it had last."""
        self.bird.start(None if self.bird.config.exists() else BOOTSTRAP, *options)

    def start_agent(self, *flags: str) -> None:
        with self.log.open("ab") as log:
            self._agent = subprocess.Popen([*_ENDS_WITH_US, *self._command("agent", *flags)], stderr=log)

    def birdctl(self, verb: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """A verb that takes all settings, run to its end."""
        command = self._command(verb, *flags)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def _command(self, verb: str, *flags: str) -> list[str]:
        files = {"runtime-dir": self.run, "bird-socket": self.bird.socket, "bird-config": self.bird.config}
        own = [f"--{flag}={value}" for flag, value in files.items()]
        command = [sys.executable, "-m", "birdctl", verb, *own, f"--node={self.name}", *self._source, *flags]
        return command if self._outside else self.namespace.command(*command)

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Ends it, and waits until it has; its exit code."""
        assert self._agent
        os.kill(self._agent.pid, number)
        return self._agent.wait(10)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._agent
        self._agent.send_signal(number)

    def ask(self, request: str, timeout: float = 10.0) -> dict[str, Any]:
        return ask(self.run, request, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """Empty while no agent answers."""
        try:
            return self.ask("status")
        except BirdctlError:
            return {}

    def error(self) -> str:
        return str(self.status().get("lastError", ""))

    def converged(self) -> bool:
        return bool(self.status().get("converged"))

    def logged(self, text: str) -> bool:
        return text in self.log.read_text()

    @property
    def backend(self) -> BirdBackend:
        return BirdBackend(self.bird.socket, self.bird.config, self.run)

    def peers(self) -> dict[str, str]:
        """State by peer's name, as BIRD says it now."""
        inventory = inventories.read(self.run)
        return {each.peer: each.state for each in peers(inventory, self.backend.sessions())} if inventory else {}

    def routes(self) -> set[str]:
        """Prefixes that BIRD put into the kernel."""
        return {line.split()[0] for line in self.namespace.run("ip route show proto bird").splitlines()}

    def close(self) -> None:
        if self._agent and self._agent.poll() is None:
            self.kill_agent()
        self.bird.kill()


def converged(*nodes: AgentNode, timeout: float = 20.0) -> None:
    """Waits until every agent has applied everything written so far."""
    for each in nodes:
        eventually(each.converged, timeout)
        eventually(lambda each=each: each.ask("sync", timeout)["converged"], timeout)
