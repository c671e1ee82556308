"""The agent's policies joined with the kernel's counters."""

from __future__ import annotations

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.netfilter import iptables_text
from birdctl.netfilter.iptables_text import Counted, Saved
from birdctl.netfilter.model import Effect
from birdctl.observe.policies import counted, from_kernel, policies, programmed
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.counters import Counter
from birdctl.policies.model import Direction
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


def counter(name: str, direction: Direction, effect: Effect, packets: int) -> Counter:
    return Counter(policy=f"NetworkPolicy x/{name}", direction=direction, effect=effect, packets=packets, bytes=9)


def agents_word(*counters: Counter):
    return programmed(COMPILED.policies, COMPILED.state, counters)


def without_agent():
    """As the kernel counted each rule three times."""
    found = from_kernel(counted(kernel(3)))
    return {each.name: each for each in policies("n1", found, counted(kernel(3)))}


def shown(*counters: Counter):
    known = agents_word(*counters)
    return {each.name: each for each in policies("n1", known, counted(kernel(3)))}


INGRESS, EGRESS = Direction


def test_each_policy_has_its_directions_pods_and_counts() -> None:
    found = shown(counter(NAME, INGRESS, Effect.ALLOW, 4), counter(NAME, EGRESS, Effect.ALLOW, 2))[NAME]
    assert (found.kind, found.namespace, found.types, found.selected_pods) == (
        "NetworkPolicy",
        "x",
        ("Ingress", "Egress"),
        1,
    )
    assert found.rules == sum(each.rules for each in found.directions.values()) == 2
    assert [each.packets for each in found.directions.values()] == [4, 2]
    assert (found.packets, found.bytes) == (6, 18)


def test_what_the_rules_counted_before_they_were_written_anew_counts() -> None:
    """The kernel forgets it: another policy of the same pod is enough for that."""
    assert shown(counter("staged", INGRESS, Effect.WOULD_DENY, 50))["staged"].packets == 50


def test_without_an_agent_the_kernels_counts_have_to_do() -> None:
    found = without_agent()
    assert found["guard"].packets == 6
    assert (found["staged"].packets, found["staged"].staged) == (3, True)


def test_where_the_agent_could_not_count_the_kernels_counts_have_to_do() -> None:
    assert shown()["staged"].packets == 3


def test_a_name_that_a_comment_has_no_room_for_is_found_by_the_digest() -> None:
    assert NAME in shown()
    cut = [each.name for each in from_kernel(counted(kernel(0)))]
    assert NAME not in cut


def test_of_a_staged_policy_what_it_would_deny_counts() -> None:
    allowed = counter("staged", INGRESS, Effect.ALLOW, 7)
    found = shown(allowed, counter("staged", INGRESS, Effect.WOULD_DENY, 3))["staged"]
    assert found.staged
    assert found.rules == 2
    assert found.packets == 3


def test_a_cluster_wide_policy_has_no_namespace_and_comes_first() -> None:
    first = policies("n1", agents_word(), ())[0]
    assert (first.kind, first.namespace, first.types, first.selected_pods) == (
        "ClusterNetworkPolicy",
        None,
        ("Egress",),
        2,
    )
    assert (first.rules, first.packets) == (0, 0)
