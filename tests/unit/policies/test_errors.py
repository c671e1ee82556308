"""A policy that an API server would refuse is one clear error; its pods are closed, all others as they were."""

from __future__ import annotations

import pytest

from birdctl.cluster.decode import decode_text
from birdctl.cluster.events import Rejected
from birdctl.cluster.store import Cluster
from tests.unit.policies.build import block, labels, node, packet, pod, policy
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
        (ports(port="80"), "spec.ingress[0].ports[0].port: '80' is neither a number nor a port name"),
        (ports(port="a-name-much-too-long"), "spec.ingress[0].ports[0].port: 'a-name-much-too-long' is neither"),
        (ports(protocol="ICMP"), "spec.ingress[0].ports[0].protocol: expected TCP, UDP or SCTP, got 'ICMP'"),
        (from_({}), "spec.ingress[0].from[0]: one of podSelector, namespaceSelector and ipBlock is required"),
        (from_({"podSelector": {}, **block("10.0.0.0/8")}), "spec.ingress[0].from[0]: ipBlock cannot stand beside"),
        (from_(block("10.0.0.0")), "spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.0' is not a CIDR"),
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


def test_a_policy_that_cannot_be_decoded_closes_its_namespace_alone():
    text = b"""
    {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "red"},
     "spec": {"podSelector": {"matchLabel": {"app": "web"}}}}
    """
    found, (rejected,) = decode_text(text)
    broken = cluster()
    broken.apply(rejected)
    network = Network(broken)
    assert isinstance(rejected, Rejected)
    assert found == ()
    assert not network.allows(packet(OTHER, DB))
    assert not network.allows(packet(DB, OTHER))
    assert network.allows(packet("198.51.100.1", OTHER))
