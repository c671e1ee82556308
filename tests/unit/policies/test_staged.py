"""Staged policies deny nothing, and count what they would deny."""

from __future__ import annotations

from birdctl.cluster.store import Cluster
from tests.unit.policies.build import cluster_policy, labels, node, packet, pod, policy
from tests.unit.policies.network import Network

WEB, DB, OTHER = "10.1.1.2", "10.1.1.3", "10.1.1.4"


def network(*policies):
    pods = [pod("red/web", WEB, labels={"app": "web"}), pod("red/db", DB, labels={"app": "db"}), pod("red/x", OTHER)]
    return Network(Cluster.of(node("n1", "172.16.0.1", pods=["10.1.1.0/24"]), *pods, *policies))


def only_db(name="p", **fields):
    return policy(f"red/{name}", labels(app="web"), ingress=[{"from": [{"podSelector": labels(app="db")}]}], **fields)


def test_a_staged_policy_counts_what_it_does_not_allow():
    found = network(only_db(staged=True))
    assert found.allows(packet(OTHER, WEB))
    assert found.would_deny(packet(OTHER, WEB)) == ["NetworkPolicy red/p"]
    assert found.would_deny(packet(DB, WEB)) == []
    assert found.would_deny(packet(OTHER, WEB, 3, "icmp")) == []


def test_staged_policies_add_up():
    found = network(only_db(staged=True), policy("red/q", {}, ingress=[{}], staged=True))
    assert found.would_deny(packet(OTHER, WEB)) == []
    assert found.would_deny(packet(OTHER, DB)) == []


def test_where_a_pod_is_isolated_already_a_staged_policy_would_deny_no_more():
    found = network(only_db("enforced"), policy("red/staged", {}, ingress=[], staged=True))
    assert not found.allows(packet(OTHER, WEB))
    assert found.would_deny(packet(DB, WEB)) == []


def test_the_baseline_still_decides_below_a_staged_policy():
    deny = {"action": "Deny", "from": [{"namespaces": {}}]}
    found = network(only_db(staged=True), cluster_policy("base", tier="Baseline", ingress=[deny]))
    assert not found.allows(packet(DB, WEB))


def test_a_staged_cluster_policy_counts_in_its_place():
    deny = {"action": "Deny", "from": [{"pods": {"podSelector": labels(app="db")}}]}
    accept = {"action": "Accept", "from": [{"namespaces": {}}]}
    staged = cluster_policy("staged", 10, ingress=[deny], staged=True)
    assert network(staged).would_deny(packet(DB, WEB)) == ["ClusterNetworkPolicy staged"]
    assert network(staged).allows(packet(DB, WEB))
    assert network(staged).would_deny(packet(OTHER, WEB)) == []
    assert network(staged, cluster_policy("first", 1, ingress=[accept])).would_deny(packet(DB, WEB)) == []
