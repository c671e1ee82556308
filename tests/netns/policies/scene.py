"""What an operator has before them: a node with an agent that enforces policies, two pods, a client from elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from birdctl.reconcile import control
from tests.bird.daemon import _ENDS_WITH_US
from tests.netns.policies.kernel import Kernel
from tests.polling import eventually

OBJECTS = """
{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.9.1.0/24, 10.9.2.0/24]},
 status: {addresses: [{type: InternalIP, address: 10.9.1.1}, {type: InternalIP, address: 10.9.3.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.9.3.0/24]},
 status: {addresses: [{type: InternalIP, address: 10.0.0.2}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: red, labels: {kubernetes.io/metadata.name: red}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: red, labels: {app: web}},
 spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 80}]}]},
 status: {phase: Running, podIPs: [{ip: 10.9.1.2}, {ip: "fd00:9:1::2"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: red, labels: {app: db}}, spec: {nodeName: n1},
 status: {phase: Running, podIPs: [{ip: 10.9.2.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: red, labels: {app: client}}, spec: {nodeName: n2},
 status: {phase: Running, podIPs: [{ip: 10.9.3.2}, {ip: "fd00:9:3::2"}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web, namespace: red},
 spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress],
        ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,
 metadata: {name: quiet, namespace: red, annotations: {birdctl.io/staged: "true"}},
 spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: guard},
 spec: {tier: Admin, priority: 1, subject: {namespaces: {}},
        egress: [{action: Deny, to: [{networks: [198.51.100.0/24]}]}]}}
"""

_CONNECT = """
import contextlib, socket, sys
with contextlib.suppress(OSError):
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
"""


class Scene:
    """The agent runs until it is stopped; `birdctl` is called on the node."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel = kernel
        self.runtime_dir = folder / "run"
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        (self.manifests / "all.yaml").write_text(OBJECTS)
        flags = ("--node=n1", "--run-router=false", "--run-firewall", "--metrics-port=0", "--health-port=0")
        self._agent = subprocess.Popen(
            kernel.node.command(*_ENDS_WITH_US, *self._command("agent", *self.source, *flags)),
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: control.socket_path(self.runtime_dir).exists())
        assert self.birdctl("wait", "--for", "converged", "--timeout", "20s").returncode == 0

    @property
    def source(self) -> tuple[str, ...]:
        return ("--manifests", str(self.manifests))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "birdctl", "--runtime-dir", str(self.runtime_dir), *words]

    def birdctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.kernel.node.command(*self._command(*words))
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def document(self, *words: str, code: int = 0) -> Any:
        """The JSON of an answer that ends with this code."""
        done = self.birdctl(*words, "-o", "json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def change(self, **documents: Any) -> None:
        """Further manifests, by file; the agent has carried them out afterwards."""
        for name, document in documents.items():
            new = self.manifests / f"{name}.new"
            new.write_text(yaml.safe_dump(document))
            new.rename(self.manifests / f"{name}.yaml")
        assert control.ask(self.runtime_dir, "sync", timeout=20)["converged"]

    def connect(self, source: str, address: str, port: int) -> None:
        """A try to connect, whatever becomes of it."""
        self.kernel.run(source, _CONNECT, address, str(port)).communicate(timeout=20)

    def stop_agent(self) -> None:
        self._agent.terminate()
        self._agent.wait(20)


@contextmanager
def scene(folder: Path, mode: str) -> Iterator[Scene]:
    """`mode`: which of iptables' modes the host says it uses."""
    kernel = Kernel()
    try:
        kernel.node.run(f"iptables-{mode} -t mangle -N KUBE-IPTABLES-HINT")
        kernel.node.run("ip route add 198.51.100.0/24 via 10.9.3.2")
        found = Scene(kernel, folder)
        try:
            yield found
        finally:
            found.stop_agent()
    finally:
        kernel.close()
