"""An agent against a real API server, with the rights of its service account and nothing more."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from birdctl.cluster.apiclient import path_of
from birdctl.cluster.bgp import BGPNodeState, BGPPeer
from birdctl.cluster.objects import Node
from birdctl.errors import ApiRefused, InputError
from birdctl.observe.problems import ProblemReporter
from tests.agents import AgentNode, converged, node
from tests.bird.daemon import Namespace
from tests.kube import KubeApiServer
from tests.polling import eventually

NO_HTTP = ("--metrics-port=0", "--health-port=0")


def peer(name: str, **spec: object) -> dict[str, Any]:
    return {"apiVersion": "birdctl.io/v1alpha1", "kind": "BGPPeer", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def agent(apiserver: KubeApiServer) -> Iterator[AgentNode]:
    """The agent of node `writer-a`, which peers with `writer-b`; BIRD has no neighbour to reach."""
    objects = (node("writer-a", "192.0.2.1", "10.1.0.0/24"), node("writer-b", "192.0.2.2", "10.2.0.0/24"))
    apiserver.apply(*objects)
    kubeconfig = apiserver.kubeconfig(apiserver.service_account_token("birdctl-system", "birdctl"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        space = stack.enter_context(Namespace())
        found = AgentNode("writer-a", space, folder, [f"--kubeconfig={kubeconfig}"], outside=True)
        stack.callback(apiserver.delete, *objects)
        stack.callback(found.close)
        found.start_bird()
        found.start_agent(*NO_HTTP)
        converged(found)
        yield found


def read(apiserver: KubeApiServer, path: str) -> dict[str, Any]:
    """The object, empty while there is none."""
    try:
        found: dict[str, Any] = json.loads(apiserver.client.request("GET", path))
    except ApiRefused:
        return {}
    return found


def node_state(apiserver: KubeApiServer) -> dict[str, Any]:
    return read(apiserver, path_of(BGPNodeState, "writer-a")).get("status", {})


def accepted(apiserver: KubeApiServer, name: str) -> dict[str, Any]:
    conditions = read(apiserver, path_of(BGPPeer, name)).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Accepted"), {})


def events_of(apiserver: KubeApiServer, name: str) -> list[dict[str, Any]]:
    listed = read(apiserver, "/api/v1/namespaces/default/events")["items"]
    return [each for each in listed if each["involvedObject"]["name"] == name]


def test_an_agent_writes_annotations_and_its_node_state(agent: AgentNode, apiserver: KubeApiServer) -> None:
    assert agent.converged()
    eventually(lambda: node_state(apiserver).get("established") == "0/1", 15)
    annotations = read(apiserver, path_of(Node, "writer-a"))["metadata"]["annotations"]
    assert annotations["birdctl.io/asn"] == "64512"
    assert annotations["birdctl.io/peer-asns"] == "64512"
    assert annotations["birdctl.io/bgp-state"] == "0/1"
    status = node_state(apiserver)
    assert [each["peer"] for each in status["peers"]] == ["writer-b"]
    assert status["bird"]["configDigest"] == agent.status()["bird"]["configDigest"]
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert conditions == {"Converged": "True", "Healthy": "False"}
    (owner,) = read(apiserver, path_of(BGPNodeState, "writer-a"))["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Node", "writer-a")


def test_a_deleted_node_state_comes_back(agent: AgentNode, apiserver: KubeApiServer) -> None:
    eventually(lambda: node_state(apiserver), 15)
    apiserver.client.request("DELETE", path_of(BGPNodeState, "writer-a"))
    apiserver.apply(peer("writer-external", asn=65001, address="192.0.2.9"))
    try:
        eventually(lambda: "writer-external" in str(node_state(apiserver)), 30, pause=0.2)
    finally:
        apiserver.delete(peer("writer-external"))
    assert agent.ask("sync")["converged"]


def test_an_invalid_object_gets_its_condition_and_event_until_it_is_right(
    agent: AgentNode, apiserver: KubeApiServer
) -> None:
    wrong = peer("writer-wrong", asn=65001, address="192.0.2.9", passwordSecret={"name": "missing", "key": "x"})
    apiserver.apply(wrong)
    try:
        eventually(lambda: accepted(apiserver, "writer-wrong").get("status") == "False", pause=0.2)
        said = accepted(apiserver, "writer-wrong")
        assert said["reason"] == "Invalid"
        assert said["message"].startswith("writer-a: spec.passwordSecret")
        (event,) = eventually(lambda: events_of(apiserver, "writer-wrong"))
        assert event["type"] == "Warning"
        assert "spec.passwordSecret" in event["message"]
        assert agent.status()["problems"]
        apiserver.apply(peer("writer-wrong", asn=65001, address="192.0.2.9"))
        eventually(lambda: accepted(apiserver, "writer-wrong").get("status") == "True", 30, pause=0.2)
        assert len(events_of(apiserver, "writer-wrong")) == 1
    finally:
        apiserver.delete(wrong)


def test_what_an_agent_writes_on_its_node_does_not_wake_it(agent: AgentNode, apiserver: KubeApiServer) -> None:
    eventually(lambda: node_state(apiserver), 15)
    generation = agent.ask("sync")["generation"]
    assert generation == 1
    assert agent.log.read_text().count("new: ") == 1


def test_of_many_agents_one_reports_an_object_and_takes_it_back(apiserver: KubeApiServer) -> None:
    wrong = peer("writer-shared", asn=65001, address="192.0.2.9")
    apiserver.apply(wrong)
    problem = InputError("BGPPeer writer-shared", "spec.asn", "is reserved")
    first, second = (ProblemReporter(apiserver.client, name) for name in ("first", "second"))
    try:
        for reporter in (first, second):
            reporter.report([problem])
        said = accepted(apiserver, "writer-shared")
        assert (said["status"], said["message"]) == ("False", "first: spec.asn: is reserved")
        assert len(events_of(apiserver, "writer-shared")) == 1
        second.report([])
        assert accepted(apiserver, "writer-shared") == said
        restarted = ProblemReporter(apiserver.client, "first")
        restarted.report([])
        assert accepted(apiserver, "writer-shared")["status"] == "True"
    finally:
        apiserver.delete(wrong)


def test_an_object_that_is_gone_is_no_error_to_report(apiserver: KubeApiServer) -> None:
    ProblemReporter(apiserver.client, "first").report([InputError("BGPPeer writer-gone", "spec.asn", "is 0")])
    assert events_of(apiserver, "writer-gone") == []
