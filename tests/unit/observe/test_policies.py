"""The agent's policies joined with the kernel's counters."""

from __future__ import annotations

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.netfilter import iptables_text
from birdctl.netfilter.iptables_text import Counted, Saved
from birdctl.observe.policies import counted, from_kernel, policies, programmed
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from tests.unit.policies.build import cluster_policy, labels, namespace, node, pod, policy

NAME = "x" * 253
PEER = {"from": [{"podSelector": labels(app="b")}]}
CLUSTER = Cluster.of(
    node("n1", "192.0.2.1", pods=["10.1.0.0/24"]),
    namespace("x"),
    pod("x/a", "10.1.0.2", labels={"app": "a"}),
    pod("x/c", "10.1.0.3", labels={"app": "c"}),
    policy(f"x/{NAME}", labels(app="a"), ingress=[PEER, PEER], egress=[{}], policyTypes=["Ingress", "Egress"]),
    policy("x/staged", labels(app="c"), staged=True, ingress=[PEER]),
    cluster_policy("guard", egress=[{"action": "Deny", "to": [{"networks": ["198.51.100.0/24"]}]}]),
)
COMPILED = PolicyCompiler("n1", PolicyOptions(enable_ipv6=False)).compile(CLUSTER)


def kernel(packets: int) -> list[Saved]:
    """As if every rule had matched so many packets of ten bytes."""
    table = COMPILED.state.tables[Family.IPV4]
    chains = {
        name: tuple(
            Counted(text=iptables_text.rule(rule, table.owner), packets=packets, bytes=10 * packets)
            for rule in chain.rules
        )
        for name, chain in table.chains.items()
    }
    return [Saved(owner=table.owner, family=Family.IPV4, chains=chains, builtin={})]


def shown():
    known = programmed(COMPILED.policies, COMPILED.state)
    return {each.name: each for each in policies("n1", known, counted(kernel(3)))}


def test_each_policy_has_its_directions_pods_and_counts() -> None:
    found = shown()[NAME]
    assert (found.kind, found.namespace, found.types, found.selected_pods) == (
        "NetworkPolicy",
        "x",
        ("Ingress", "Egress"),
        1,
    )
    assert found.rules == sum(each.rules for each in found.directions.values()) == 2
    assert (found.packets, found.bytes) == (6, 60)


def test_a_name_that_a_comment_has_no_room_for_is_found_by_the_digest() -> None:
    assert NAME in shown()
    cut = [each.name for each in from_kernel(counted(kernel(0)))]
    assert NAME not in cut


def test_of_a_staged_policy_what_it_would_deny_counts() -> None:
    found = shown()["staged"]
    assert found.staged
    assert found.rules == 2
    assert found.packets == 3


def test_a_cluster_wide_policy_has_no_namespace_and_comes_first() -> None:
    known = programmed(COMPILED.policies, COMPILED.state)
    first = policies("n1", known, ())[0]
    assert (first.kind, first.namespace, first.types, first.selected_pods) == (
        "ClusterNetworkPolicy",
        None,
        ("Egress",),
        2,
    )
    assert (first.rules, first.packets) == (0, 0)
