"""A password goes into bird.conf and nowhere else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agents import AgentNode, Manifests, converged, node
from tests.bird.daemon import Namespace
from tests.polling import eventually

FIRST, SECOND = "hunter2-first", "hunter2-second"

PEER: dict[str, Any] = {
    "apiVersion": "birdctl.io/v1alpha1",
    "kind": "BGPPeer",
    "metadata": {"name": "tor"},
    "spec": {"asn": 65001, "address": "192.0.2.9", "passwordSecret": {"name": "bgp", "key": "tor"}},
}


def secret(password: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bgp", "namespace": "birdctl-system"},
        "stringData": {"tor": password},
    }


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    found = Manifests(tmp_path / "manifests")
    found.write(node("a", "192.0.2.1", "10.1.0.0/24"), PEER)
    return found


@pytest.fixture
def agent(manifests: Manifests) -> Iterator[AgentNode]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        space = stack.enter_context(Namespace())
        found = AgentNode("a", space, folder, [f"--manifests={manifests.folder}"])
        stack.callback(found.close)
        found.start_bird()
        found.start_agent("--log-level=debug")
        converged(found)
        yield found


def test_a_missing_secret_is_an_error_and_no_session(agent: AgentNode) -> None:
    assert agent.peers() == {}
    (problem,) = agent.status()["problems"]
    assert "spec.passwordSecret" in problem


def test_a_password_is_in_no_log_plan_status_metric_or_inventory(agent: AgentNode, manifests: Manifests) -> None:
    manifests.write(secret(FIRST))
    converged(agent)
    assert set(agent.peers()) == {"tor"}
    assert FIRST in agent.bird.config.read_text()
    manifests.write(secret(SECOND))
    eventually(lambda: SECOND in agent.bird.config.read_text())
    agent.kill_agent()
    manifests.write(secret(FIRST))
    planned = agent.birdctl("plan")
    assert "restart: tor (password" in planned.stdout
    agent.start_agent()
    converged(agent)
    metrics = agent.namespace.run(
        "curl -s --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:20241/metrics"
    )
    said = [planned.stdout, planned.stderr, agent.log.read_text(), str(agent.status()), str(agent.ask("plan")), metrics]
    said += [path.read_text() for path in agent.run.rglob("*.json")]
    assert not [text for text in said if "hunter2" in text]


def test_files_with_a_password_are_their_owners_alone(agent: AgentNode, manifests: Manifests) -> None:
    manifests.write(secret(FIRST))
    converged(agent)
    holding = [path for path in agent.folder.rglob("*.conf*") if FIRST in path.read_text()]
    assert agent.bird.config in holding
    assert {path.stat().st_mode & 0o077 for path in holding} == {0}
