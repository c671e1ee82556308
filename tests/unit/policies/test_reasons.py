"""What NFLOG says of a refused packet: whose policies."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from birdctl.policies.simulate import verdict
from tests.unit.policies.build import cluster_policy, labels, node, packet, pod, policy

WEB, DB = "10.1.1.2", "10.1.1.3"
NODE = node("n1", "172.16.0.1", pods=["10.1.1.0/24"])
PODS = (pod("red/web", WEB, labels={"app": "web"}), pod("red/db", DB, labels={"app": "db"}))
OUTSIDE = "198.51.100.1"


def reasons(objects, source=OUTSIDE, target=WEB, **options):
    """The prefixes of a packet that is refused."""
    state = PolicyCompiler("n1", PolicyOptions(**options)).compile(Cluster.of(NODE, *objects)).state
    found = verdict(state, Family.IPV4, "FORWARD", packet(source, target))
    assert not found.allowed
    return logged(found)


def logged(found):
    return [hit.rule.options[1] for hit in found.path if hit.rule.target == "NFLOG"]


def closed(name, **spec):
    return policy(name, labels(app=name.partition("/")[2]), **spec)


def test_a_policy_that_allows_nothing_is_named():
    assert reasons([*PODS, closed("red/web")]) == ["birdctl deny ingress: red/web"]
    assert reasons([*PODS, closed("red/web", policyTypes=["Egress"])], WEB, OUTSIDE) == ["birdctl deny egress: red/web"]


def test_of_several_policies_the_first_is_named_and_the_others_counted():
    objects = [*PODS, policy("red/c"), policy("red/a"), closed("red/web")]
    assert reasons(objects) == ["birdctl deny ingress: red/a,+2"]
    assert reasons(objects, target=DB) == ["birdctl deny ingress: red/a,+1"]


def test_a_policy_of_the_other_direction_has_no_part_in_it():
    objects = [*PODS, policy("red/a", policyTypes=["Egress"]), closed("red/web")]
    assert reasons(objects) == ["birdctl deny ingress: red/web"]


def test_pods_of_one_class_whose_policies_differ_have_reasons_of_their_own():
    assert reasons([*PODS, closed("red/web"), closed("red/db")], target=DB) == ["birdctl deny ingress: red/db"]


def test_a_cluster_wide_denial_and_a_staged_policy_are_named():
    deny = [{"action": "Deny", "from": [{"namespaces": {}}]}]
    client = pod("red/client", "10.1.2.2", on="n2")
    assert reasons([*PODS, client, cluster_policy("guard", ingress=deny)], "10.1.2.2") == [
        "birdctl deny ingress: ClusterNetworkPolicy guard"
    ]
    compiled = PolicyCompiler("n1", PolicyOptions()).compile(Cluster.of(*PODS, policy("red/quiet", staged=True)))
    found = verdict(compiled.state, Family.IPV4, "FORWARD", packet(OUTSIDE, WEB))
    assert found.allowed
    assert logged(found) == ["birdctl would deny ingress: red/quiet"]


def test_an_address_without_a_pod_says_so():
    assert reasons([*PODS, closed("red/web")], target="10.1.1.9", netpol_default_deny=True) == [
        "birdctl deny ingress: unknown pod"
    ]
    assert reasons([*PODS, closed("red/web")], netpol_default_deny=True) == ["birdctl deny ingress: red/web"]


@pytest.mark.parametrize(
    ("number", "expected"), [(8, "birdctl deny ingress: red/p03"), (9, "birdctl deny ingress: 9 policies of red")]
)
def test_a_namespace_with_many_combinations_of_policies_has_one_reason(number, expected):
    names = [f"p{each:02}" for each in range(number)]
    pods = [
        pod(f"red/{name}", str(ip_address("10.1.1.10") + each), labels={"app": name}) for each, name in enumerate(names)
    ]
    assert reasons([*pods, *(closed(f"red/{name}") for name in names)], target="10.1.1.13") == [expected]


def test_long_names_are_cut_to_what_nflog_takes_and_told_apart():
    space, names = "s" * 63, ["n" * 62 + letter for letter in "ab"]
    found = []
    for name in names:
        here = pod(f"{space}/web", WEB)
        found += reasons([here, policy(f"{space}/{name}"), policy(f"{space}/{name}x")])
    assert [len(each) for each in found] == [63, 63]
    assert all(each.startswith("birdctl deny ingress: sss") and each.endswith(",+1") for each in found)
    assert found[0] != found[1]
