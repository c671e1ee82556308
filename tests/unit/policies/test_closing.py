"""What is programmed when the kernel refuses a part: that part is closed, nothing is opened, the rest as it was."""

from __future__ import annotations

from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.addresses import Family, family
from birdctl.cluster.objects import Pod
from birdctl.cluster.store import Cluster
from birdctl.errors import Unavailable
from birdctl.netfilter.model import SetType
from birdctl.policies.closing import Refused, close
from birdctl.policies.compile import PolicyCompiler, side
from birdctl.policies.compile.names import cut_set
from birdctl.policies.options import PolicyOptions
from birdctl.policies.simulate import verdict
from tests.unit.policies import worlds
from tests.unit.policies.build import block, cluster_policy, labels, node, packet, pod, policy

WEB, DB, PEER, OUTSIDE = "10.1.1.2", "10.1.1.3", "10.1.1.4", "198.51.100.1"
PODS = [pod("red/web", WEB, labels={"app": "web"}), pod("red/db", DB, labels={"app": "db"}), pod("red/peer", PEER)]
FROM_BLOCK = [{"from": [block("198.51.100.0/24", "198.51.100.128/25")]}]
WEB_POLICY = policy("red/web", labels(app="web"), ingress=[*FROM_BLOCK, {"ports": [{"port": 80}]}])
DB_POLICY = policy("red/db", labels(app="db"), ingress=[{"ports": [{"port": 80}]}])


def compiled(*objects, default_deny=False):
    options = PolicyOptions(netpol_default_deny=default_deny)
    return PolicyCompiler("n1", options).compile(Cluster.of(*objects)).state


def rules(state, what):
    """Those of which `what` is true, all refused."""
    every = (rule for table in state.tables.values() for chain in table.chains.values() for rule in chain.rules)
    return Refused(rules={rule: "no" for rule in every if what(rule)})


def sets(state, what):
    return Refused(sets={name: "no" for name, each in state.sets.items() if what(each)})


def allows(state, source, target, port=80):
    return verdict(state, Family.IPV4, "FORWARD", packet(source, target, port)).allowed


def test_without_a_refusal_the_state_is_the_desired_one():
    state = compiled(*PODS, WEB_POLICY)
    closed = close(state, Refused())
    assert closed.state is state
    assert not closed.reasons


def test_a_refused_allowance_is_left_out_and_all_others_stay():
    state = compiled(*PODS, WEB_POLICY, DB_POLICY)
    closed = close(state, sets(state, lambda each: each.type is SetType.NET))
    assert set(closed.reasons) == {"NetworkPolicy red/web"}
    assert [allows(closed.state, OUTSIDE, WEB, port) for port in (80, 81)] == [True, False]
    assert allows(state, OUTSIDE, WEB, 81)
    assert allows(closed.state, PEER, DB)
    assert not any(each.type is SetType.NET for each in closed.state.sets.values())


@pytest.mark.parametrize("action", ["Deny", "Pass"])
def test_a_refused_denial_or_pass_refuses_everything_to_its_pods(action):
    rule = {"action": action, "from": [{"pods": {"podSelector": labels(app="db"), "namespaceSelector": {}}}]}
    guard = cluster_policy(
        "guard",
        subject={"pods": {"podSelector": labels(app="web"), "namespaceSelector": {}}},
        ingress=[rule, {"action": "Accept", "from": [{"namespaces": {}}]}],
    )
    state = compiled(*PODS, guard)
    closed = close(state, rules(state, lambda each: each.origins == (guard.ref,) and each.effect == action.lower()))
    assert set(closed.reasons) == {guard.ref}
    assert allows(state, PEER, WEB)
    assert not allows(closed.state, PEER, WEB)
    assert allows(closed.state, PEER, DB)


@pytest.mark.parametrize(
    ("target", "kind"), [("RETURN", "iso"), ("BIRDCTL-DENY-IN", "iso"), ("RETURN", "open")], ids=str
)
def test_without_what_tells_strangers_open_or_closed_nothing_is_programmed(target, kind):
    """The alternative would close pods that nothing restricts, or open unknown ones."""
    away = pod("red/away", "192.0.2.7", labels={"app": "db"})
    state = compiled(node("n1", pods=["10.1.1.0/24"]), *PODS, away, DB_POLICY, default_deny=True)
    used = {name for name in state.sets if name.startswith(f"birdctl-{kind}4-")}
    refused = rules(state, lambda each: each.target == target and used & {match.name for match in each.sets})
    assert refused
    with pytest.raises(Unavailable, match="what every policy needs"):
        close(state, refused)


@pytest.mark.parametrize("kind", ["iso", "open"])
def test_a_set_that_all_need_and_somebody_else_has_gets_another_name(kind):
    away = pod("red/away", "192.0.2.7", labels={"app": "db"})
    state = compiled(node("n1", pods=["10.1.1.0/24"]), *PODS, away, DB_POLICY, default_deny=True)
    taken = sets(state, lambda each: each.name.startswith(f"birdctl-{kind}4-"))
    closed = close(state, taken)
    assert not closed.reasons
    assert not closed.state.sets.keys() & taken.sets.keys()
    assert dangling(closed.state) == set()
    for source, target in product([PEER, OUTSIDE], [WEB, DB, PEER, "192.0.2.7", "10.1.1.99"]):
        assert allows(closed.state, source, target, 81) is allows(state, source, target, 81)
    also = Refused(sets=dict.fromkeys(closed.state.sets, "no"))
    with pytest.raises(Unavailable, match="what every policy needs"):
        close(state, taken | also)


def test_a_rule_of_several_policies_concerns_all_of_them():
    twin = policy("red/twin", labels(app="web"), ingress=[{"ports": [{"port": 80}]}])
    state = compiled(*PODS, WEB_POLICY, twin)
    closed = close(state, rules(state, lambda each: len(each.origins) == 2))
    assert set(closed.reasons) == {WEB_POLICY.ref, twin.ref}


def test_pods_whose_rules_cannot_be_reached_are_closed_and_their_policies_named():
    both = policy(
        "red/both",
        {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        ingress=[{"ports": [{"port": port}]} for port in (80, 90, 100)],
    )
    many = [pod(f"red/db{number}", f"10.1.1.{number}", labels={"app": "db"}) for number in range(10, 20)]
    state = compiled(*PODS, *many, both, policy("red/peer", {}, ingress=FROM_BLOCK))
    closed = close(state, sets(state, lambda each: each.meaning == "pods with the same policies"))
    assert set(closed.reasons) == {both.ref, "NetworkPolicy red/peer"}
    assert allows(state, PEER, WEB)
    assert not allows(closed.state, PEER, WEB)
    assert allows(closed.state, OUTSIDE, PEER)


def test_what_only_watches_is_left_out_alone():
    staged = cluster_policy("staged", staged=True, ingress=[{"action": "Deny", "from": [{"namespaces": {}}]}])
    state = compiled(*PODS, staged, DB_POLICY)
    closed = close(state, rules(state, lambda each: each.effect == "would-deny"))
    assert set(closed.reasons) == {staged.ref}
    assert [allows(closed.state, PEER, target, 81) for target in (WEB, DB)] == [True, False]


def test_the_refusal_of_connections_cut_is_nobodys_and_closes_nothing():
    state = compiled(*PODS, DB_POLICY)
    closed = close(state, Refused(sets={cut_set(Family.IPV4): "no"}))
    assert set(closed.reasons) == {""}
    assert [allows(closed.state, PEER, DB, port) for port in (80, 81)] == [True, False]


def test_a_kernel_that_cannot_reject_drops():
    state = compiled(*PODS, DB_POLICY)
    closed = close(state, rules(state, lambda each: each.target == "REJECT"))
    assert set(closed.reasons) == {""}
    decisions = [verdict(one, Family.IPV4, "FORWARD", packet(PEER, DB, 81)).decision for one in (state, closed.state)]
    assert decisions == ["reject", "drop"]


@pytest.mark.parametrize("target", ["BIRDCTL-IN", "BIRDCTL-DENY-IN"])
def test_without_what_leads_to_refusals_nothing_is_programmed(target):
    state = compiled(*PODS, DB_POLICY)
    with pytest.raises(Unavailable, match="what every policy needs"):
        close(state, rules(state, lambda each: each.target == target and not each.origins))


def test_pods_of_many_that_a_refused_set_cannot_name_are_closed():
    many = [pod(f"red/many{number}", f"10.1.1.{number}") for number in range(10, 20)]
    deny = {"action": "Deny", "from": [{"pods": {"podSelector": labels(app="db"), "namespaceSelector": {}}}]}
    guard = cluster_policy("guard", subject={"namespaces": {}}, ingress=[deny])
    state = compiled(*PODS, *many, guard)
    closed = close(state, sets(state, lambda each: each.meaning == "pods with the same policies"))
    assert guard.ref in closed.reasons
    assert dangling(closed.state) == set()
    assert allows(state, PEER, WEB)
    assert not allows(closed.state, PEER, WEB)


def dangling(state):
    """Sets that rules use and that are not there."""
    every = (rule for table in state.tables.values() for chain in table.chains.values() for rule in chain.rules)
    return {match.name for rule in every for match in rule.sets} - state.sets.keys()


@pytest.mark.parametrize("few", [side.FEW, 0])
@settings(max_examples=50, deadline=None)
@given(
    objects=worlds.worlds,
    packets=st.lists(worlds.packets, min_size=10, max_size=30),
    default_deny=st.booleans(),
    chosen=st.randoms(use_true_random=False),
    share=st.sampled_from([0.05, 0.3]),
)
def test_whatever_is_refused_nothing_is_opened_and_nobody_else_is_closed(
    *, objects, packets, default_deny, chosen, share, few
):
    cluster = Cluster.of(*objects)
    with patch.object(side, "FEW", few):
        compiled = PolicyCompiler("n1", PolicyOptions(netpol_default_deny=default_deny)).compile(cluster)
    state = compiled.state
    refused = sets(state, lambda _: chosen.random() < share)
    refused |= rules(state, lambda each: bool(each.origins) and chosen.random() < share)
    try:
        closed = close(state, refused)
    except Unavailable:
        return
    assert dangling(closed.state) == set()
    named = {key for each in compiled.policies if each.ref in closed.reasons for key in each.pods}
    may_be_closed = {item.ip for key in named for item in cluster.get(Pod, key).status.pod_ips}
    for each in packets:
        before, after = (verdict(one, family(each.source), "FORWARD", each).allowed for one in (state, closed.state))
        assert before or not after, each
        assert before == after or may_be_closed & {str(each.source), str(each.destination)}, each
