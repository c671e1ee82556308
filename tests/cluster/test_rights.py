"""The agent's service account may do what the agent does, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from birdctl.cluster.apiclient import APPLY_PATCH, MERGE_PATCH, ApiClient
from birdctl.errors import ApiRefused
from tests.kube import KubeApiServer
from tests.polling import eventually

OURS = "/apis/birdctl.io/v1alpha1"
NAMESPACE = "/api/v1/namespaces/birdctl-system"
STATE = {"apiVersion": "birdctl.io/v1alpha1", "kind": "BGPNodeState", "metadata": {"name": "node1"}}
PEER = {
    "apiVersion": "birdctl.io/v1alpha1",
    "kind": "BGPPeer",
    "metadata": {"name": "rights"},
    "spec": {"asn": 65001, "address": "192.0.2.1"},
}
EVENT = {
    "metadata": {"generateName": "rights-", "namespace": "default"},
    "involvedObject": {"apiVersion": "birdctl.io/v1alpha1", "kind": "BGPPeer", "name": "rights"},
    "reason": "Invalid",
    "type": "Warning",
    "message": "spec.asn: is reserved",
}
ANNOTATION = {"metadata": {"annotations": {"birdctl.io/asn": "1"}}}
FORBIDDEN = 403


@pytest.fixture(scope="module")
def agent(apiserver: KubeApiServer) -> ApiClient:
    """A client with the service account of the DaemonSet."""
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in ("node1", "node2")]
    apiserver.apply(*nodes, PEER)
    token = apiserver.service_account_token("birdctl-system", "birdctl", node="node1")
    client = ApiClient.connect(apiserver.kubeconfig(token))
    eventually(lambda: refused(client, "PATCH", "/api/v1/nodes/node2", ANNOTATION))  # policies take a moment
    return client


def refused(client: ApiClient, method: str, path: str, body: Any) -> str:
    """Why the server refuses; empty when it does not."""
    try:
        client.request(method, path, body, MERGE_PATCH if method == "PATCH" else "application/json")
    except ApiRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/namespaces",
        "/api/v1/services",
        "/api/v1/pods",
        "/apis/networking.k8s.io/v1/networkpolicies",
        "/apis/discovery.k8s.io/v1/endpointslices",
        f"{OURS}/bgpconfigurations",
        f"{OURS}/bgppeers",
        f"{OURS}/bgpadvertisements",
        f"{OURS}/addresspools",
    ],
)
def test_the_agent_may_list_and_watch_what_it_reads(agent: ApiClient, path: str):
    agent.request("GET", path)
    agent.watch(path, silence=5).close()


def test_the_agent_may_read_secrets_of_its_own_namespace(agent: ApiClient):
    query = {"fieldSelector": "metadata.name=bgp"}
    agent.request("GET", f"{NAMESPACE}/secrets", query=query)
    agent.watch(f"{NAMESPACE}/secrets", query=query, silence=5).close()


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type"),
    [
        ("PATCH", "/api/v1/nodes/node1", ANNOTATION, MERGE_PATCH),
        ("POST", f"{OURS}/bgpnodestates", STATE, "application/json"),
        ("PATCH", f"{OURS}/bgpnodestates/node1", STATE, APPLY_PATCH),
        ("PATCH", f"{OURS}/bgppeers/rights/status", {"status": {"conditions": []}}, MERGE_PATCH),
        ("POST", "/api/v1/namespaces/default/events", EVENT, "application/json"),
    ],
)
def test_the_agent_may_write_its_reports(agent: ApiClient, method: str, path: str, body: Any, content_type: str):
    agent.request(method, path, body, content_type, query={"fieldManager": "birdctl"})


def test_the_agent_may_write_the_status_of_its_node_state(agent: ApiClient):
    query = {"fieldManager": "birdctl"}
    agent.request("PATCH", f"{OURS}/bgpnodestates/node1", STATE, APPLY_PATCH, query=query)
    status = {**STATE, "status": {"established": "3/3"}}
    agent.request("PATCH", f"{OURS}/bgpnodestates/node1/status", status, APPLY_PATCH, query=query)
    assert b'"3/3"' in agent.request("GET", f"{OURS}/bgpnodestates/node1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/default/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/secrets/any"),
        ("POST", f"{NAMESPACE}/secrets"),
        ("PATCH", f"{NAMESPACE}/secrets/bgp"),
        ("GET", f"{NAMESPACE}/configmaps/birdctl-config"),
        ("GET", "/api/v1/namespaces/default/pods/any"),
        ("POST", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"),
        ("PATCH", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/any"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("POST", "/api/v1/namespaces/default/pods/any/exec"),
        ("DELETE", "/api/v1/nodes/node1"),
        ("PUT", "/api/v1/nodes/node1"),
        ("PATCH", "/api/v1/nodes/node1/status"),
        ("PATCH", "/api/v1/namespaces/default/services/kubernetes"),
        ("POST", f"{OURS}/bgppeers"),
        ("PATCH", f"{OURS}/bgppeers/rights"),
        ("DELETE", f"{OURS}/bgppeers/rights"),
        ("DELETE", f"{OURS}/bgpnodestates/node1"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("PATCH", "/apis/apps/v1/namespaces/birdctl-system/daemonsets/birdctl"),
        ("POST", f"{NAMESPACE}/serviceaccounts/birdctl/token"),
        ("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bgppeers.birdctl.io"),
    ],
)
def test_the_agent_may_do_nothing_else(agent: ApiClient, method: str, path: str):
    body, content_type = ({}, MERGE_PATCH if method == "PATCH" else "application/json")
    with pytest.raises(ApiRefused) as caught:
        agent.request(method, path, None if method == "GET" else body, content_type)
    assert caught.value.status == FORBIDDEN


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("PATCH", "/api/v1/nodes/node2", ANNOTATION, "only about its own node"),
        ("POST", f"{OURS}/bgpnodestates", {**STATE, "metadata": {"name": "node2"}}, "only about its own node"),
        ("PATCH", "/api/v1/nodes/node1", {"spec": {"unschedulable": True}}, "only annotations"),
        ("PATCH", "/api/v1/nodes/node1", {"metadata": {"labels": {"role": "reflector"}}}, "only annotations"),
    ],
)
def test_the_agent_may_write_only_about_its_own_node(agent: ApiClient, method: str, path: str, body: Any, reason: str):
    assert reason in refused(agent, method, path, body)


def test_a_client_without_a_valid_token_is_refused(apiserver: KubeApiServer):
    stranger = ApiClient.connect(apiserver.kubeconfig("no-such-token"))
    with pytest.raises(ApiRefused) as caught:
        stranger.request("GET", "/api/v1/nodes")
    assert caught.value.status == 401
