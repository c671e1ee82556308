"""`birdctl show …` from a workstation: BGPNodeState and Node objects of a real API server, no BIRD at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube import ADMINISTRATOR, KubeApiServer

PEER = {"type": "mesh", "protocol": "node_x", "remoteAs": 64512, "localAs": 64512}
COUNTS = {"received": 3, "filtered": 1, "accepted": 2, "advertised": 4}
UP = {**PEER, "state": "Established", "uptimeSeconds": 7200, "families": {"ipv4": COUNTS}}
DOWN = {**PEER, "state": "Active", "lastError": "Connection refused", "families": {}}


def state(node: str, *peers: dict[str, Any], converged: str = "True", **status: Any) -> dict[str, Any]:
    condition = {"reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "BGPNodeState",
        "metadata": {"name": node},
        "status": {
            "peers": list(peers),
            "bird": {"version": "2.17.5", "routerId": "10.0.0.1", "uptimeSeconds": 90, "configDigest": "abc"},
            "conditions": [
                {"type": "Converged", "status": converged, **condition},
                {"type": "Healthy", "status": "True", **condition},
            ],
            **status,
        },
    }


class Workstation:
    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "BIRDCTL_RUNTIME_DIR": str(self.folder),
            "BIRDCTL_BIRD_SOCKET": str(self.folder / "none.ctl"),
        }
        command = [sys.executable, "-m", "birdctl", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    def says(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout


@pytest.fixture
def workstation(apiserver: KubeApiServer, tmp_path: Path) -> Iterator[Workstation]:
    node = {"apiVersion": "v1", "kind": "Node"}
    documents = (
        state(
            "show-a",
            {**UP, "node": "show-a", "peer": "show-b"},
            bfd=[{"node": "show-a", "address": "10.0.0.2", "state": "up", "peer": "show-b", "sinceSeconds": 60}],
        ),
        state("show-b", {**DOWN, "node": "show-b", "peer": "show-a"}, converged="False", lastError="BIRD refused it"),
        {**node, "metadata": {"name": "show-a", "annotations": {"birdctl.io/bgp-state": "1/1"}}},
        {
            **node,
            "metadata": {"name": "show-b", "annotations": {"birdctl.io/bgp-state": "0/1"}},
            "spec": {"podCIDR": "10.77.2.0/24", "podCIDRs": ["10.77.2.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.77.0.2"}]},
        },
    )
    apiserver.apply(*documents)
    yield Workstation(apiserver.kubeconfig(ADMINISTRATOR), tmp_path)
    apiserver.delete(*documents)


def rows(text: str) -> list[str]:
    """The rows of the nodes of this test, with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.startswith("show-")]


def test_the_sessions_of_all_nodes(workstation: Workstation) -> None:
    assert rows(workstation.says("show", "peers", "-A")) == [
        "show-a show-b - 64512 mesh Established 120m 3 4 -",
        "show-b show-a - 64512 mesh Active - 0 0 -",
    ]
    wide = rows(workstation.says("show", "peers", "-A", "-o", "wide"))
    assert wide[0].endswith(" 64512 ipv4 1 - - - - -")
    assert wide[1].endswith(" Connection refused")
    items = json.loads(workstation.says("show", "peers", "-A", "-o", "json"))["items"]
    found = next(item for item in items if item["node"] == "show-a")
    assert found["families"]["ipv4"] == COUNTS


def test_without_a_bird_here_the_api_server_is_asked_by_itself(workstation: Workstation) -> None:
    assert len(rows(workstation.says("show", "peers"))) == 2


def test_one_node_can_be_asked_for(workstation: Workstation) -> None:
    assert [row.split()[0] for row in rows(workstation.says("show", "peers", "--node", "show-b"))] == ["show-b"]
    assert [row.split()[1] for row in rows(workstation.says("show", "peers", "--failed"))] == ["show-a"]


def test_bfd_and_status_of_all_nodes(workstation: Workstation) -> None:
    assert rows(workstation.says("show", "bfd")) == ["show-a show-b 10.0.0.2 - up 60s"]
    status = rows(workstation.says("show", "status"))
    assert status[0] == "show-a true true 2.17.5 90s apiserver - -"
    assert status[1].endswith(" BIRD refused it")
    assert "show-b false true " in status[1]


def test_the_nodes_with_what_their_agents_wrote(workstation: Workstation) -> None:
    found = {row.split()[0]: row for row in rows(workstation.says("show", "nodes"))}
    assert found["show-b"] == "show-b 10.77.0.2 64512 10.77.2.0/24 node 0/1"


def test_what_only_a_node_knows_is_refused_in_one_line(workstation: Workstation) -> None:
    done = workstation.run("show", "routes", "-A")
    assert done.returncode == 1
    assert done.stderr == "birdctl: only a node itself knows this: run it there, or with --lab\n"


def test_an_api_server_that_is_not_there_is_one_line(workstation: Workstation, tmp_path: Path) -> None:
    workstation.kubeconfig = tmp_path / "none"
    done = workstation.run("show", "peers", "-A")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
