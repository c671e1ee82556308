"""An agent whose API server goes away and comes back: nothing on the node changes meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from birdctl.errors import BackendError
from tests.agents import AgentNode, converged, node
from tests.bird.daemon import Namespace
from tests.kube import KubeApiServer, manifests
from tests.polling import eventually


@pytest.fixture
def agent(own_apiserver: KubeApiServer) -> Iterator[AgentNode]:
    own_apiserver.apply(*manifests())
    own_apiserver.apply(node("a", "192.0.2.1", "10.1.0.0/24"), node("b", "192.0.2.2", "10.2.0.0/24"))
    kubeconfig = own_apiserver.kubeconfig(own_apiserver.service_account_token("birdctl-system", "birdctl"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        space = stack.enter_context(Namespace())
        found = AgentNode("a", space, folder, [f"--kubeconfig={kubeconfig}"], outside=True)
        stack.callback(found.close)
        found.start_bird()
        yield found


def test_losing_the_api_server_changes_nothing_and_it_is_taken_up_again(
    agent: AgentNode, own_apiserver: KubeApiServer
) -> None:
    agent.start_agent("--metrics-port=0", "--health-port=0")
    converged(agent)
    own_apiserver.stop()
    eventually(lambda: "lastError" in agent.status()["source"])
    assert agent.status()["converged"]
    assert set(agent.peers()) == {"b"}
    with pytest.raises(BackendError):
        agent.ask("sync", timeout=1.0)

    agent.kill_agent()
    agent.start_agent("--metrics-port=0", "--health-port=0")
    eventually(lambda: agent.status().get("source", {}).get("lastError"))
    assert not agent.status()["converged"]
    assert set(agent.peers()) == {"b"}

    own_apiserver.start()
    own_apiserver.apply(node("c", "192.0.2.3", "10.3.0.0/24"))
    eventually(lambda: set(agent.peers()) == {"b", "c"}, 40)
    converged(agent)
