"""A policy that an API server would refuse is one clear error; its pods are closed, all others as they were."""

from __future__ import annotations

import msgspec
import pytest

from birdctl.cluster.decode import decode_text, rejected
from birdctl.cluster.objects import NetworkPolicy
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from tests.unit.policies.build import block, cluster_policy, labels, node, packet, pod, policy
from tests.unit.policies.network import Network

WEB, DB, OTHER = "10.1.1.2", "10.1.1.3", "10.1.1.4"


def cluster(*policies):
    pods = [pod("red/web", WEB, labels={"app": "web"}), pod("red/db", DB), pod("blue/x", OTHER)]
    return Cluster.of(node("n1", "172.16.0.1", pods=["10.1.1.0/24"]), *pods, *policies)


def from_(peer):
    return {"ingress": [{"from": [peer]}]}


def ports(**port):
    return {"ingress": [{"ports": [port]}]}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (ports(port=80, endPort=79), "spec.ingress[0].ports[0].endPort: expected 80 to 65535, got 79"),
        (ports(endPort=79), "spec.ingress[0].ports[0].endPort: needs a port, and that as a number"),
        (ports(port="web", endPort=79), "spec.ingress[0].ports[0].endPort: needs a port, and that as a number"),
        (ports(port=80, endPort=65536), "spec.ingress[0].ports[0].endPort: expected 80 to 65535, got 65536"),
        (ports(port=0), "spec.ingress[0].ports[0].port: expected 1 to 65535, got 0"),
        (ports(port="80"), "spec.ingress[0].ports[0].port: '80' is not a port name: write the number without quotes"),
        (
            ports(port="a-name-much-too-long"),
            "port: 'a-name-much-too-long' is not a port name: expected up to 15",
        ),
        (ports(protocol="ICMP"), "spec.ingress[0].ports[0].protocol: expected TCP, UDP or SCTP, got 'ICMP'"),
        (from_({}), "spec.ingress[0].from[0]: one of podSelector, namespaceSelector and ipBlock is required"),
        (from_({"podSelector": {}, **block("10.0.0.0/8")}), "spec.ingress[0].from[0]: ipBlock cannot stand beside"),
        (from_(block("10.0.0.0")), "spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.0' is not a CIDR"),
        (from_(block("fe80::1%eth0/64")), "ipBlock.cidr: 'fe80::1%eth0/64' is not a CIDR"),
        (from_(block("10.0.0.0/33")), "spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.0/33' is not a CIDR"),
        (from_(block("10.0.0.0/8", "11.0.0.0/9")), "ipBlock.except[0]: 11.0.0.0/9 must be a part of 10.0.0.0/8"),
        (from_(block("10.0.0.0/8", "10.0.0.0/8")), "ipBlock.except[0]: 10.0.0.0/8 must be a part of 10.0.0.0/8"),
        (from_(block("10.0.0.0/8", "fd00::/64")), "ipBlock.except[0]: fd00::/64 must be a part of 10.0.0.0/8"),
    ],
)
def test_what_an_api_server_refuses_closes_the_pods_it_selects(spec, problem):
    spec = {"ingress": [*spec["ingress"], {}]}
    network = Network(cluster(policy("red/p", labels(app="web"), **spec)))
    (error,) = network.compiled["n1"].problems
    assert str(error).startswith("NetworkPolicy red/p: ")
    assert problem in str(error)
    assert not network.allows(packet(DB, WEB))
    assert network.allows(packet(WEB, DB))


def test_every_error_of_a_policy_is_told():
    network = Network(cluster(policy("red/p", {}, ingress=[{"from": [{}], "ports": [{"port": 0}]}])))
    assert len(network.compiled["n1"].problems) == 2


@pytest.mark.parametrize("cidr", ["10.1.1.0/24", "10.1.1.7/24", "010.001.001.000/24"])
def test_host_bits_and_leading_zeros_are_what_an_api_server_keeps(cidr):
    network = Network(cluster(policy("red/p", labels(app="web"), **from_(block(cidr)))))
    assert network.compiled["n1"].problems == ()
    assert network.allows(packet(DB, WEB))


def broken(document):
    """A cluster with what can be read of the document, which cannot be decoded; and the one error."""
    found, (rejected,) = decode_text(msgspec.json.encode(document))
    whole = cluster()
    whole.apply(rejected)
    network = Network(whole)
    assert not any([found, network.compiled["n1"].problems])
    return network, str(rejected.error)


WEB_ONLY = labels(app="web")


def not_in(**expression):
    """Pods that are not in a list which is not there."""
    expression = {"key": "app", "operator": "NotIn", "values": [], **expression}
    return {"from": [{"podSelector": {"matchExpressions": [expression]}}]}


NOT_A_LIST = {"ingress": {"from": []}}


@pytest.mark.parametrize(
    ("spec", "closed"),
    [
        ({"podSelector": WEB_ONLY, **NOT_A_LIST}, {(DB, WEB)}),
        ({"podSelector": WEB_ONLY, "policyTypes": ["Egress"], **NOT_A_LIST}, {(WEB, DB), (WEB, OTHER)}),
        ({"podSelector": WEB_ONLY, "egress": "all"}, {(DB, WEB), (WEB, DB), (WEB, OTHER)}),
        ({"podSelector": WEB_ONLY, "policyTypes": ["Egres"]}, {(DB, WEB), (WEB, DB), (WEB, OTHER)}),
        ({"podSelector": {"matchLabel": {"app": "web"}}}, {(DB, WEB), (WEB, DB)}),
        ({"podSelector": {"matchLabel": {}}, "policyTypes": ["Egress"]}, {(DB, WEB), (WEB, DB), (WEB, OTHER)}),
        ([], {(DB, WEB), (WEB, DB), (WEB, OTHER)}),
    ],
)
def test_a_policy_that_cannot_be_decoded_closes_the_pods_it_may_select_and_no_others(spec, closed):
    network, error = broken(document("NetworkPolicy", "p", spec))
    assert error.startswith("NetworkPolicy red/p: spec")
    pairs = [(DB, WEB), (WEB, DB), (WEB, OTHER)]
    assert {pair for pair in pairs if not network.allows(packet(*pair))} == closed
    assert network.allows(packet("198.51.100.1", OTHER))


def document(kind, name, spec, **annotations):
    version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "policy.networking.k8s.io/v1alpha2"
    metadata = {"name": name, "namespace": "red" if kind == "NetworkPolicy" else None, "annotations": annotations}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("ingress", "problem"),
    [
        ({"form": []}, "spec.ingress[0].form: unknown field; did you mean from?"),
        ({"port": [{"port": 80}]}, "spec.ingress[0].port: unknown field; did you mean ports?"),
        ({"ports": [{"Port": 81}]}, "spec.ingress[0].ports[0].Port: unknown field; did you mean port?"),
        ({"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "exept": []}}]}, "ipBlock.exept: unknown field; did you mean exc"),
        (not_in(), "matchExpressions[0]: values are expected for NotIn"),
        (not_in(values=None), "matchExpressions[0]: values are expected for NotIn"),
        (not_in(operator="Exists", values=["web"]), "matchExpressions[0]: no values are expected for Exists"),
    ],
)
def test_what_would_open_more_than_its_author_meant_is_an_error_and_closes(ingress, problem):
    network, error = broken(document("NetworkPolicy", "p", {"podSelector": WEB_ONLY, "ingress": [ingress]}))
    assert problem in error
    assert not network.allows(packet(DB, WEB))
    assert network.allows(packet(WEB, DB))


def test_a_staged_policy_that_cannot_be_decoded_closes_nothing():
    network, _ = broken(document("NetworkPolicy", "p", NOT_A_LIST, **{"birdctl.io/staged": "true"}))
    assert network.allows(packet(DB, WEB))


EVERYBODY = [{"namespaces": {}}]
TO_WEB = {"pods": {"namespaceSelector": {}, "podSelector": WEB_ONLY}}
BAD_PORT = {"protocols": [{"tcp": {"destinationPort": {"number": "http"}}}]}


def rule(action, **more):
    return {"action": action, "from": EVERYBODY, **more}


@pytest.mark.parametrize(
    ("spec", "closed"),
    [
        ({"ingress": [rule("Deny", **BAD_PORT)]}, {WEB}),
        ({"ingress": [rule("Pass", **BAD_PORT)]}, {WEB}),
        ({"ingress": [rule("Accept", **BAD_PORT), rule("Deny")]}, {WEB}),
        ({"ingress": [rule("Accept", **BAD_PORT)]}, set()),
        ({"ingress": [rule("Accept"), rule("Deny", **BAD_PORT)]}, set()),
        ({"ingress": [rule("Accept", protocol=[]), rule("Deny")]}, {WEB}),
        ({"ingress": [rule("Accept", **{"from": [{"pods": {"podselector": {}}}]}), rule("Deny")]}, {WEB}),
        ({"ingress": [rule("Accept", protocols=[{"tcp": {"ports": 81}}]), rule("Deny")]}, {WEB}),
        ({"ingress": "all"}, {WEB}),
        ({"ingress": [{"action": 1}]}, {WEB}),
        ({"ingress": [rule("Deny")], "priority": "high"}, {WEB}),
        ({"ingress": [rule("Accept"), rule("Deny")], "priority": "high"}, {WEB}),
        ({"ingress": [rule("Accept"), rule("Deny")], "tier": "Top"}, {WEB}),
        ({"ingress": [rule("Accept"), rule("Deny")], "subject": {"pods": "web"}}, {WEB, DB}),
        ({"ingress": [rule("Accept")], "subject": {"pods": "web"}}, set()),
        ([], set()),
    ],
)
def test_of_a_cluster_policy_that_cannot_be_decoded_only_what_denies_counts(spec, closed):
    if spec:
        spec = {"tier": "Admin", "priority": 10, "subject": TO_WEB, **spec}
    network, error = broken(document("ClusterNetworkPolicy", "c", spec))
    assert error.startswith("ClusterNetworkPolicy c: spec")
    assert {pod for pod in (WEB, DB) if not network.allows(packet(OTHER, pod))} == closed


def test_a_subject_that_is_neither_pods_nor_namespaces_is_every_pod_and_accepts_nothing():
    guard = cluster_policy("c", subject={"nodes": {}}, ingress=[rule("Accept")])
    assert not Network(cluster(guard, policy("red/p"))).allows(packet(OTHER, WEB))
    denies = cluster_policy("c", subject={"nodes": {}}, ingress=[rule("Accept"), rule("Pass")])
    assert not Network(cluster(denies)).allows(packet(OTHER, WEB))


def test_a_policy_that_is_defined_twice_closes_its_namespace():
    key = "red/p"
    twice = cluster()
    twice.apply(rejected(NetworkPolicy, key, {}, InputError(f"NetworkPolicy {key}", "", "is defined in a and b")))
    network = Network(twice)
    assert [network.allows(packet(*pair)) for pair in ((DB, WEB), (WEB, OTHER))] == [False, False]
