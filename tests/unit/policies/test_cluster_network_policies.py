"""Tiers: Admin before NetworkPolicy, Baseline after it; who decides first decides."""

from __future__ import annotations

import pytest

from birdctl.cluster.store import Cluster
from tests.unit.policies.build import block, cluster_policy, labels, namespace, node, packet, pod, policy
from tests.unit.policies.network import Network

WEB, DB, OUTSIDE, OTHER_NODE = "10.1.1.2", "10.1.2.2", "198.51.100.7", "172.16.0.2"
EVERYONE = {"namespaces": {}}


def network(*policies, **options):
    cluster = Cluster.of(
        node("n1", "172.16.0.1", pods=["10.1.1.0/24"], labels={"zone": "a"}),
        node("n2", OTHER_NODE, pods=["10.1.2.0/24"], labels={"zone": "b"}),
        namespace("red", team="x"),
        namespace("blue", team="y"),
        pod("red/web", WEB, labels={"app": "web"}, ports={"http": 80}),
        pod("blue/db", DB, on="n2", labels={"app": "db"}, ports={"sql": 5432, "sql2": (53, "UDP")}),
        *policies,
    )
    return Network(cluster, **options)


def rule(action, *peers, direction="from", **protocols):
    return {"action": action, direction: list(peers) or [EVERYONE], **protocols}


def admin(*rules, name="admin", priority=10, **spec):
    return cluster_policy(name, priority, ingress=list(rules), **spec)


def baseline(*rules, **spec):
    return admin(*rules, name="baseline", tier="Baseline", **spec)


def isolated(*rules):
    return policy("red/np", {}, ingress=list(rules))


ALLOWED = isolated({})
CLOSED = isolated()


@pytest.mark.parametrize(
    ("policies", "refusal"),
    [
        ([], None),
        ([admin(rule("Deny"))], "drop"),
        ([admin(rule("Accept"), rule("Deny"))], None),
        ([admin(rule("Deny"), rule("Accept"))], "drop"),
        ([admin(rule("Deny")), ALLOWED], "drop"),
        ([admin(rule("Accept")), CLOSED], None),
        ([admin(rule("Pass"), rule("Deny"))], None),
        ([admin(rule("Pass"), rule("Deny")), CLOSED], "reject"),
        ([admin(rule("Pass"), rule("Deny")), ALLOWED], None),
        ([admin(rule("Pass")), baseline(rule("Deny"))], "drop"),
        ([admin(rule("Pass")), admin(rule("Deny"), name="later", priority=11)], None),
        ([admin(rule("Pass")), admin(rule("Deny"), name="earlier", priority=9)], "drop"),
        ([admin(rule("Accept")), baseline(rule("Deny"))], None),
        ([baseline(rule("Deny"))], "drop"),
        ([baseline(rule("Deny")), ALLOWED], None),
        ([baseline(rule("Accept")), CLOSED], "reject"),
        ([baseline(rule("Pass"), rule("Deny"))], None),
        ([baseline(rule("Accept"), rule("Deny"))], None),
        ([admin(rule("Deny", {"namespaces": labels(team="x")}))], None),
        ([admin(rule("Deny", {"namespaces": labels(team="y")}))], "drop"),
        ([admin(rule("Deny"), subject={"namespaces": labels(team="y")})], None),
        ([admin(rule("Deny"), subject={"pods": {"podSelector": labels(app="web"), "namespaceSelector": {}}})], "drop"),
        ([admin(rule("Deny", {"pods": {"podSelector": labels(app="db")}}))], "drop"),
        ([admin(rule("Deny", {"pods": {"podSelector": labels(app="web")}}))], None),
    ],
)
def test_tiers(policies, refusal):
    network_ = network(*policies)
    assert network_.refusal(packet(DB, WEB)) == refusal
    assert network_.allows(packet(DB, WEB)) is (refusal is None)


@pytest.mark.parametrize(
    ("protocols", "refused"),
    [
        ([{"tcp": {"destinationPort": {"number": 80}}}], [("tcp", 80)]),
        ([{"tcp": {"destinationPort": {"range": {"start": 80, "end": 81}}}}], [("tcp", 80), ("tcp", 81)]),
        ([{"udp": {"destinationPort": {"number": 80}}}, {"sctp": {}}], [("udp", 80), ("sctp", 9)]),
        ([{"tcp": {}}], [("tcp", 80), ("tcp", 81)]),
        ([{"destinationNamedPort": "http"}], [("tcp", 80)]),
    ],
)
def test_protocols(protocols, refused):
    found = network(admin(rule("Deny", protocols=protocols)))
    tried = [("tcp", 80), ("tcp", 81), ("udp", 80), ("sctp", 9), ("icmp", 8)]
    assert [one for one in tried if not found.allows(packet(DB, WEB, one[1], one[0]))] == refused


@pytest.mark.parametrize(
    ("rules", "reached"),
    [
        ([rule("Deny", {"networks": ["0.0.0.0/0"]}, direction="to")], []),
        ([rule("Deny", {"networks": ["198.51.100.0/24", "10.1.2.0/24"]}, direction="to")], [OTHER_NODE]),
        ([rule("Deny", {"nodes": {}}, direction="to")], [DB, OUTSIDE]),
        ([rule("Deny", {"nodes": labels(zone="a")}, direction="to")], [DB, OUTSIDE, OTHER_NODE]),
        (
            [rule("Accept", {"pods": {}}, direction="to"), rule("Deny", {"networks": ["0.0.0.0/0"]}, direction="to")],
            [DB],
        ),
    ],
)
def test_egress_peers(rules, reached):
    found = network(cluster_policy("out", egress=rules, subject={"namespaces": labels(team="x")}))
    assert [place for place in (DB, OUTSIDE, OTHER_NODE) if found.allows(packet(WEB, place))] == reached


def test_a_named_port_in_egress_is_that_of_the_peer_in_any_protocol():
    deny = rule("Deny", direction="to", protocols=[{"destinationNamedPort": "sql"}])
    found = network(cluster_policy("out", egress=[deny]))
    tried = [("tcp", 5432), ("udp", 53), ("tcp", 53), ("udp", 5432)]
    assert [one for one in tried if not found.allows(packet(WEB, DB, one[1], one[0]))] == tried[:2]


def test_equal_priorities_go_by_name():
    first, second = admin(rule("Deny"), name="a"), admin(rule("Accept"), name="b")
    assert not network(first, second).allows(packet(DB, WEB))


def test_a_pod_and_its_own_address_and_errors_are_no_business_of_it():
    found = network(admin(rule("Deny")), cluster_policy("out", egress=[rule("Deny", direction="to")]))
    assert found.allows(packet(WEB, WEB))
    assert found.allows(packet(DB, WEB, 3, "icmp"))
    assert found.allows(packet("172.16.0.1", WEB))


@pytest.mark.parametrize("peer", [{}, {"domainNames": ["example.org"]}, {"networks": ["10.0.0.0/99"]}, {"unheard": 1}])
@pytest.mark.parametrize(("action", "arrives"), [("Accept", False), ("Deny", False), ("Pass", False)])
def test_what_is_not_understood_fails_closed(peer, action, arrives):
    """An Accept does not match, so the Deny after it does; a Deny or Pass denies everything."""
    rules = [rule(action, peer, direction="to"), rule("Deny", {"networks": ["198.51.100.0/24"]}, direction="to")]
    found = network(cluster_policy("out", egress=rules))
    assert found.allows(packet(WEB, OUTSIDE)) is arrives
    assert found.allows(packet(WEB, DB)) is (action == "Accept")
    assert [problem.origin for problem in found.compiled["n1"].problems] == ["ClusterNetworkPolicy out"]


@pytest.mark.parametrize("peer", [{"networks": ["198.51.100.0/24"]}, {"nodes": {}}])
@pytest.mark.parametrize(("action", "arrives"), [("Accept", True), ("Deny", False)])
def test_a_named_port_of_what_has_none_fails_closed(peer, action, arrives):
    named = rule(action, peer, EVERYONE, direction="to", protocols=[{"destinationNamedPort": "sql"}])
    found = network(cluster_policy("out", egress=[named]))
    assert found.allows(packet(WEB, OUTSIDE)) is arrives
    (problem,) = found.compiled["n1"].problems
    assert "spec.egress[0].protocols: networks and nodes have no named ports" in str(problem)


@pytest.mark.parametrize(("action", "arrives"), [("Accept", True), ("Deny", False), ("Pass", False)])
def test_an_empty_list_of_protocols_fails_closed(action, arrives):
    found = network(admin(rule(action, protocols=[])))
    assert found.allows(packet(DB, WEB)) is arrives
    (problem,) = found.compiled["n1"].problems
    assert "spec.ingress[0].protocols: at least one is required" in str(problem)


def test_an_unheard_of_action_denies_everything():
    found = network(admin(rule("Allow", {"namespaces": labels(team="x")})))
    assert not found.allows(packet(DB, WEB))
    (problem,) = found.compiled["n1"].problems
    assert str(problem) == (
        "ClusterNetworkPolicy admin: spec.ingress[0].action: expected Accept, Deny or Pass, got Allow"
    )


def test_a_pass_about_the_other_family_alone_changes_nothing():
    only_v6 = rule("Pass", {"networks": ["::/0"]}, direction="to")
    out = policy("red/out", {}, policyTypes=["Egress"], egress=[{"to": [block("10.1.2.0/24")]}])
    found = network(cluster_policy("out", egress=[only_v6]), out)
    assert found.allows(packet(WEB, DB))
    assert not found.allows(packet(WEB, OUTSIDE))
