"""What an address of a Service answers besides its ports, and what a node's own addresses go on to answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.cluster import Cluster, Proxied, refuses
from tests.vm.world import Node, Place


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Proxied:
    return cluster.serve(["n1-a", "n2-a"])


def pings(place: Place, address: object) -> bool:
    with place.namespace.inside():
        return not subprocess.run(["ping", "-c1", "-W2", str(address)], capture_output=True, check=False).returncode


def addresses(served: Proxied, of: Family, name: str) -> list[str]:
    """Those that this one uses."""
    external = [served.external_ip(of), served.load_balancer_ip(of)]
    return external if name == "client" else [*external, served.cluster_ip(of)]


@pytest.mark.parametrize("of", Family)
def test_it_answers_a_ping(cluster: Cluster, served: Proxied, of: Family) -> None:
    for name, place in cluster.everybody.items():
        for address in addresses(served, of, name):
            assert pings(place, address), (name, address)


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize("of", Family)
def test_it_refuses_every_other_port_at_once(cluster: Cluster, served: Proxied, of: Family, protocol: Protocol) -> None:
    """Also one where the node itself answers at its own addresses."""
    for node in cluster.nodes.values():
        cluster.world.servers.listen(node.namespace, node.name, 7000, protocol)
    for name, place in cluster.everybody.items():
        for address in addresses(served, of, name):
            for port in (79, 7000):
                assert refuses(place, address, port, protocol), (name, address, port)
    for place in cluster.everybody.values():
        assert place.ask(cluster.nodes["n1"].addresses[of], 7000, protocol).name == "n1"
    for node in cluster.nodes.values():
        cluster.world.servers.stop(node.namespace)


@pytest.fixture
def listening(cluster: Cluster) -> Iterator[Node]:
    """On port 7000, which is no service's."""
    node = cluster.nodes["n1"]
    cluster.world.servers.listen(node.namespace, node.name, 7000)
    yield node
    cluster.world.servers.stop(node.namespace)


@pytest.mark.parametrize("of", Family)
def test_an_address_that_the_node_has_itself_answers_whatever_else_is_there(
    cluster: Cluster, listening: Node, of: Family
) -> None:
    """Whether the API knows of it or not, for as long as the node has it."""
    served = cluster.serve(["n1-a", "n2-a"])
    address = served.external_ip(of)
    assert refuses(cluster.client, address, 7000)
    for change, answers in (("add", True), ("delete", False)):
        listening.namespace.run(f"ip address {change} {ip_network(address)} dev lo")
        cluster.converge()
        assert refuses(cluster.client, address, 7000) is not answers
        assert {cluster.client.ask(address, 80).name for _ in range(4)} == {"n1-a", "n2-a"}


@pytest.mark.parametrize("of", Family)
def test_the_node_talks_to_it_from_its_own_address(cluster: Cluster, served: Proxied, of: Family) -> None:
    node = cluster.nodes["n1"]
    own = {node.addresses[of], node.gateways[of]}
    for address in addresses(served, of, "n1"):
        assert {node.ask(address, 80).peer for _ in range(4)} <= own


@pytest.mark.parametrize("of", Family)
def test_two_services_may_share_an_external_address(cluster: Cluster, served: Proxied, of: Family) -> None:
    shared = served.external_ip(of)
    port = {"name": "tcp", "protocol": "TCP", "port": 81, "targetPort": 8080}
    cluster.serve(["n2-b"], ports=[port], externalIPs=[shared])
    assert {cluster.client.ask(shared, 80).name for _ in range(4)} == {"n1-a", "n2-a"}
    assert cluster.client.ask(shared, 81).name == "n2-b"
