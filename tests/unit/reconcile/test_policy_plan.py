"""What the plan of the policies says before anything is written."""

from __future__ import annotations

import pytest

from birdctl.cluster.store import Cluster
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.model import PolicyState
from birdctl.policies.options import PolicyOptions
from birdctl.policies.trial import trial
from birdctl.reconcile.policy_plan import make_policy_plan
from tests.unit.policies.build import labels, namespace, node, pod, policy

NOTHING = PolicyState(tables={}, sets={})
BASE = (node("n1", "192.0.2.1", pods=["10.1.0.0/24"]), namespace("x"), pod("x/a", "10.1.0.2", labels={"app": "a"}))
PEER = {"from": [{"podSelector": labels(app="b")}]}


def compiled(*objects) -> PolicyState:
    return PolicyCompiler("n1", PolicyOptions()).compile(Cluster.of(*BASE, *objects)).state


def test_from_nothing_every_policy_is_new_and_the_hooks_are_missing() -> None:
    plan = make_policy_plan("n1", NOTHING, compiled(policy("x/p", labels(app="a"), ingress=[PEER])))
    assert plan.changes
    assert plan.policies.added == ("NetworkPolicy x/p",)
    assert plan.hooks == ("IPv4 FORWARD", "IPv4 OUTPUT")
    assert plan.text().splitlines()[:2] == ["n1: policies", "  enforced from now on: NetworkPolicy x/p"]


@pytest.mark.parametrize("default_deny", [False, True])
def test_what_is_there_already_is_nothing_to_do(default_deny: bool) -> None:
    state = trial(PolicyOptions(netpol_default_deny=default_deny))
    plan = make_policy_plan("n1", state, state)
    assert not plan.changes
    assert plan.text() == "n1: nothing to do, the kernel has these policies"
    assert plan.document()["changes"] is False


def test_a_peer_that_comes_is_a_member_and_changes_no_policy() -> None:
    one = policy("x/p", labels(app="a"), ingress=[PEER])
    plan = make_policy_plan("n1", compiled(one), compiled(one, pod("x/b", "10.2.0.2", on="n2", labels={"app": "b"})))
    assert (plan.members, plan.policies.count, plan.chains.count) == (1, 0, 0)
    assert len(plan.sets.changed) == 1
    assert "addresses that come to sets or go: 1" in plan.text()


def test_a_policy_that_goes_and_one_that_changes_are_told_apart() -> None:
    gone = policy("x/gone", labels(app="a"), ingress=[PEER])
    before = policy("x/p", labels(app="a"), ingress=[{**PEER, "ports": [{"port": 80}]}])
    after = policy("x/p", labels(app="a"), ingress=[{**PEER, "ports": [{"port": 81}]}])
    plan = make_policy_plan("n1", compiled(gone, before), compiled(after))
    assert plan.policies.removed == ("NetworkPolicy x/gone",)
    assert plan.policies.changed == ("NetworkPolicy x/p",)
