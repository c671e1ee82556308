"""What policies say, by real packets: every place to every place, at every port, as a table would list it.

Namespaces shop, pay and mail have pods a, b and c, one of each on every node; `outside` is no node and no pod. Nodes
reach their own pods whatever the policies say, and a pod itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.netns.policies.network import PORTS
from tests.netns.policies.world import Allowed, Connection, Document, World, pod_document, policy
from tests.polling import eventually

Case = tuple[list[Document], Allowed]

A, B = {"pod": "a"}, {"pod": "b"}
TCP_80 = {"protocol": "TCP", "port": 80}


def pods(labels: dict[str, str] | None = None, namespaces: dict[str, str] | None = None) -> Document:
    """A peer by matchLabels; None leaves the selector out."""
    found: Document = {}
    if labels is not None:
        found["podSelector"] = {"matchLabels": labels}
    if namespaces is not None:
        found["namespaceSelector"] = {"matchLabels": namespaces}
    return found


def expression(key: str, operator: str, *values: str) -> Document:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


def block(*cidrs: str, but: tuple[str, ...] = ()) -> list[Document]:
    """A peer for each; the exceptions of the same family go with it."""
    return [
        {"ipBlock": {"cidr": cidr, "except": [each for each in but if (":" in each) == (":" in cidr)]}}
        for cidr in cidrs
    ]


def inbound(*rules: Document, name: str = "in", namespace: str = "shop", selector: Any = A) -> Document:
    return policy(name, namespace, selector, policyTypes=["Ingress"], ingress=list(rules))


def outbound(*rules: Document, name: str = "out", namespace: str = "shop", selector: Any = A) -> Document:
    return policy(name, namespace, selector, policyTypes=["Egress"], egress=list(rules))


def space(place: str) -> str:
    return place.partition("/")[0]


def is_pod(place: str) -> bool:
    return "/" in place


def anything(_: Connection) -> bool:
    return True


def nothing(_: Connection) -> bool:
    return False


def into(target: str, allowed: Allowed) -> Allowed:
    """Only who goes to `target` (a pod, or a namespace) is asked about."""
    return lambda c: target not in (c.target, space(c.target)) or allowed(c)


def out_of(source: str, allowed: Allowed) -> Allowed:
    return lambda c: source not in (c.source, space(c.source)) or allowed(c)


CASES: dict[str, Case] = {
    "without policies everything is open": ([], anything),
    "a policy without rules closes its pods": ([inbound()], into("shop/a", nothing)),
    "an empty selector takes the whole namespace": ([inbound(selector=None)], into("shop", nothing)),
    "an empty rule allows everything": ([inbound({})], anything),
    "a pod selector means the policy's own namespace": (
        [inbound({"from": [pods(B)]})],
        into("shop/a", lambda c: c.source == "shop/b"),
    ),
    "an empty pod selector means all pods of the namespace": (
        [inbound({"from": [pods({})]})],
        into("shop/a", lambda c: space(c.source) == "shop"),
    ),
    "a namespace selector takes all pods of its namespaces": (
        [inbound({"from": [pods(namespaces={"team": "pay"})]})],
        into("shop/a", lambda c: space(c.source) == "pay"),
    ),
    "an empty namespace selector takes every pod, but nobody else": (
        [inbound({"from": [pods(namespaces={})]})],
        into("shop/a", lambda c: is_pod(c.source)),
    ),
    "the name of a namespace is a label of it": (
        [inbound({"from": [pods(namespaces={"kubernetes.io/metadata.name": "mail"})]})],
        into("shop/a", lambda c: space(c.source) == "mail"),
    ),
    "two selectors in one peer must both hold": (
        [inbound({"from": [pods(B, {"team": "pay"})]})],
        into("shop/a", lambda c: c.source == "pay/b"),
    ),
    "of two peers one is enough": (
        [inbound({"from": [pods(B), pods(namespaces={"team": "pay"})]})],
        into("shop/a", lambda c: c.source == "shop/b" or space(c.source) == "pay"),
    ),
    "peers by expressions": (
        [
            inbound(
                {
                    "from": [
                        {
                            "podSelector": expression("pod", "In", "b", "c"),
                            "namespaceSelector": expression("team", "NotIn", "shop", "mail"),
                        },
                        {"podSelector": expression("tier", "Exists")},
                    ]
                }
            )
        ],
        into("shop/a", lambda c: c.source in ("pay/b", "pay/c")),
    ),
    "an expression for a label that is absent": (
        [inbound({"from": [{"podSelector": expression("tier", "DoesNotExist")}]})],
        into("shop/a", lambda c: space(c.source) == "shop"),
    ),
    "a block of addresses": (
        [inbound({"from": block("172.30.0.100/32", "fd30::100/128")})],
        into("shop/a", lambda c: c.source == "outside"),
    ),
    "a block with exceptions": (
        [
            inbound(
                {
                    "from": block(
                        *("10.244.0.0/16", "fd10::/16"),
                        but=("10.244.3.0/24", "10.244.1.31/32", "fd10:3::/64", "fd10:1::31/128"),
                    )
                }
            )
        ],
        into("shop/a", lambda c: c.source in ("shop/b", "pay/a", "pay/c", "mail/c")),
    ),
    "the whole of the internet includes pods": (
        [inbound({"from": block("0.0.0.0/0", "::/0")})],
        anything,
    ),
    "an exception of one block is none of another": (
        [
            inbound(
                {
                    "from": [
                        *block("10.244.0.0/16", "fd10::/16", but=("10.244.1.0/24", "fd10:1::/64")),
                        *block("10.244.1.0/24", "fd10:1::/64"),
                    ]
                }
            )
        ],
        into("shop/a", lambda c: is_pod(c.source)),
    ),
    "a port": ([inbound({"ports": [TCP_80]})], into("shop/a", lambda c: c.port == "80/TCP")),
    "a port of a peer": (
        [inbound({"from": [pods(B)], "ports": [TCP_80]})],
        into("shop/a", lambda c: c.source == "shop/b" and c.port == "80/TCP"),
    ),
    "a range of ports": (
        [inbound({"ports": [{"protocol": "UDP", "port": 79, "endPort": 80}]})],
        into("shop/a", lambda c: c.port == "80/UDP"),
    ),
    "a port by its name": (
        [inbound({"ports": [{"protocol": "UDP", "port": "udp-81"}]})],
        into("shop/a", lambda c: c.port == "81/UDP"),
    ),
    "a protocol alone is all its ports": (
        [inbound({"ports": [{"protocol": "UDP"}]})],
        into("shop/a", lambda c: c.port.endswith("UDP")),
    ),
    "a port without a protocol is TCP": (
        [inbound({"ports": [{"port": 81}]})],
        into("shop/a", lambda c: c.port == "81/TCP"),
    ),
    "a name that no container has opens nothing": (
        [inbound({"ports": [{"port": "metrics"}]})],
        into("shop/a", nothing),
    ),
    "rules add up": (
        [inbound({"from": [pods(B)], "ports": [TCP_80]}, {"from": [pods(namespaces={"team": "pay"})]})],
        into("shop/a", lambda c: (c.source == "shop/b" and c.port == "80/TCP") or space(c.source) == "pay"),
    ),
    "policies add up": (
        [inbound({"ports": [TCP_80]}, name="one"), inbound({"from": [pods(B)]}, name="two", selector=None)],
        lambda c: space(c.target) != "shop" or c.source == "shop/b" or (c.target == "shop/a" and c.port == "80/TCP"),
    ),
    "nothing may leave": ([outbound()], out_of("shop/a", nothing)),
    "egress to pods": (
        [outbound({"to": [pods(B, {"team": "pay"})], "ports": [TCP_80]})],
        out_of("shop/a", lambda c: c.target == "pay/b" and c.port == "80/TCP"),
    ),
    "egress to a port by its name": (
        [outbound({"to": [pods({}, {})], "ports": [{"port": "tcp-80"}]})],
        out_of("shop/a", lambda c: is_pod(c.target) and c.port == "80/TCP"),
    ),
    "egress to a block with exceptions": (
        [outbound({"to": block("172.30.0.0/24", "fd30::/64", but=("172.30.0.100/32", "fd30::100/128"))})],
        out_of("shop/a", lambda c: c.target.startswith("node")),
    ),
    "egress to every address": ([outbound({"to": block("0.0.0.0/0", "::/0")})], anything),
    "both ends have their say": (
        [outbound(namespace="pay", selector=None), inbound({})],
        out_of("pay", nothing),
    ),
    "an egress rule opens no ingress": (
        [outbound({"to": [pods({}, {})]}, namespace="pay", selector=None), inbound()],
        lambda c: c.target != "shop/a" and (space(c.source) != "pay" or is_pod(c.target)),
    ),
    "one policy for both directions, both of whose ends it selects": (
        [
            policy(
                "both",
                "shop",
                ingress=[{"from": [pods(B)]}],
                egress=[{"to": [pods(A)]}],
                policyTypes=["Ingress", "Egress"],
            )
        ],
        lambda c: (
            (space(c.target) != "shop" or c.source == "shop/b") and (space(c.source) != "shop" or c.target == "shop/a")
        ),
    ),
    "a policy with egress rules and no types is for both directions": (
        [policy("untold", "shop", A, egress=[{"to": [pods(B)]}])],
        lambda c: c.target != "shop/a" and (c.source != "shop/a" or c.target == "shop/b"),
    ),
    "a policy without types or rules is for ingress": (
        [policy("untold", "shop", A)],
        into("shop/a", nothing),
    ),
}


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_network_policies(cluster: World, case: Case, family: int) -> None:
    documents, allowed = case
    cluster.policies(*documents)
    assert cluster.wrong(allowed, family=family) == []


def cluster_policy(name: str, priority: int, subject: Document, *, tier: str = "Admin", **rules: Any) -> Document:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": tier, "priority": priority, "subject": subject, **rules},
    }


def team(name: str) -> Document:
    """Peer or subject: all pods of one namespace."""
    return {"namespaces": {"matchLabels": {"team": name}}}


def rule(action: str, *peers: Document, end: str = "from", tcp: int = 0) -> Document:
    ports = {"protocols": [{"tcp": {"destinationPort": {"number": tcp}}}]} if tcp else {}
    return {"action": action, end: list(peers), **ports}


DENY_PAY = cluster_policy("deny", 10, team("shop"), ingress=[rule("Deny", team("pay"))])
CLUSTER_CASES: dict[str, Case] = {
    "an administrator's denial stands above what a policy allows": (
        [DENY_PAY, inbound({}, selector=None)],
        into("shop", lambda c: space(c.source) != "pay"),
    ),
    "what an administrator accepts no policy refuses": (
        [cluster_policy("accept", 10, team("shop"), ingress=[rule("Accept", team("pay"))]), inbound(selector=None)],
        into("shop", lambda c: space(c.source) == "pay"),
    ),
    "the lower number decides": (
        [DENY_PAY, cluster_policy("accept", 9, team("shop"), ingress=[rule("Accept", team("pay"), tcp=80)])],
        into("shop", lambda c: space(c.source) != "pay" or c.port == "80/TCP"),
    ),
    "the first rule that matches decides": (
        [
            cluster_policy(
                "order", 1, team("shop"), ingress=[rule("Accept", team("pay"), tcp=81), rule("Deny", team("pay"))]
            )
        ],
        into("shop", lambda c: space(c.source) != "pay" or c.port == "81/TCP"),
    ),
    "to pass leaves it to the policies": (
        [
            cluster_policy("pass", 1, team("shop"), ingress=[rule("Pass", team("pay"))]),
            DENY_PAY,
            inbound({"from": [pods(B, {"team": "pay"})]}),
        ],
        into("shop/a", lambda c: c.source == "pay/b"),
    ),
    "the baseline is for pods that no policy isolates": (
        [
            cluster_policy("base", 1, team("shop"), tier="Baseline", ingress=[rule("Deny", team("pay"), team("mail"))]),
            inbound({"from": [pods(B, {"team": "pay"})]}),
        ],
        lambda c: (
            c.source == "pay/b"
            if c.target == "shop/a"
            else space(c.target) != "shop" or space(c.source) not in ("pay", "mail")
        ),
    ),
    "egress to networks": (
        [
            cluster_policy(
                "networks",
                1,
                team("shop"),
                egress=[
                    rule("Accept", {"networks": ["10.244.2.0/24", "fd10:2::/64"]}, end="to", tcp=80),
                    rule("Deny", {"networks": ["0.0.0.0/0", "::/0"]}, end="to"),
                ],
            )
        ],
        out_of("shop", lambda c: c.target in ("shop/b", "pay/a", "mail/c") and c.port == "80/TCP"),
    ),
}


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("case", CLUSTER_CASES.values(), ids=CLUSTER_CASES.keys())
def test_cluster_network_policies(cluster: World, case: Case, family: int) -> None:
    documents, allowed = case
    cluster.policies(*documents)
    assert cluster.wrong(allowed, family=family) == []


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("document", "became"), [(inbound(), "refused"), (DENY_PAY, "timeout")])
def test_a_policy_rejects_and_a_cluster_policy_drops(
    cluster: World, document: Document, became: str, family: int
) -> None:
    cluster.policies(document)
    cluster.sync()
    denied = [("pay/a", "shop/a", *port) for port in PORTS]
    assert set(cluster.network.probe(denied, family, 4.0).values()) == {became}


def test_what_is_refused_can_be_dropped_instead(cluster: World) -> None:
    cluster.policies(inbound())
    denied = [("pay/a", "shop/a", *port) for port in PORTS]
    for action, became in (("drop", "timeout"), ("reject", "refused")):
        cluster.set(netpol_deny_action=action)
        eventually(lambda became=became: set(cluster.network.probe(denied, seconds=0.3).values()) == {became})


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_pods_of_the_hosts_network_are_not_selected(cluster: World, family: int) -> None:
    node = cluster.network.nodes["node2"]
    cluster.pods["shop/host"] = pod_document(replace(node, name="shop/host", node="node2"), A, hostNetwork=True)
    cluster.write_pods()
    cluster.policies(inbound(), outbound())
    assert cluster.wrong(lambda c: "shop/a" not in (c.source, c.target), family=family) == []
