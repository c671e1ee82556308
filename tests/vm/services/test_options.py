"""Settings that decide for all services: two agents of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.polling import eventually
from tests.vm.cluster import Cluster, Proxied, refuses

BOTH = (Protocol.TCP, Protocol.UDP)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    flags = (
        "--masquerade-all",
        "--hairpin-mode",
        "--nodeport-bindon-all-ip",
        "--service-node-port-range=30000-30999",
        "--excluded-cidrs=198.18.7.0/24",
    )
    with Cluster(tmp_path_factory.mktemp("options"), *flags) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def served(chosen: Cluster) -> Proxied:
    return chosen.serve(["n1-a", "n2-a"], BOTH)


@pytest.mark.parametrize("protocol", BOTH)
@pytest.mark.parametrize("of", Family)
def test_with_masquerade_all_every_endpoint_sees_the_node(
    chosen: Cluster, served: Proxied, of: Family, protocol: Protocol
) -> None:
    node = chosen.nodes["n1"]
    for place in (chosen.pods["n1-c"], chosen.client):
        peers = {place.ask(served.external_ip(of), 80, protocol).peer for _ in range(4)}
        assert peers == {node.addresses[of], node.gateways[of]}


@pytest.mark.parametrize("protocol", BOTH)
@pytest.mark.parametrize("of", Family)
def test_with_hairpin_mode_every_pod_reaches_itself(
    chosen: Cluster, served: Proxied, of: Family, protocol: Protocol
) -> None:
    for address in (served.cluster_ip(of), served.external_ip(of)):
        names = {chosen.pods["n1-a"].ask(address, 80, protocol).name for _ in range(4)}
        assert names == {"n1-a", "n2-a"}


@pytest.mark.parametrize("of", Family)
def test_node_ports_are_on_every_address_of_the_node(chosen: Cluster, served: Proxied, of: Family) -> None:
    node = chosen.nodes["n1"]
    for address in (node.addresses[of], node.gateways[of]):
        assert {chosen.pods["n1-c"].ask(address, served.node_port()).name for _ in range(4)} == {"n1-a", "n2-a"}


def test_a_node_port_outside_of_the_range_is_told_and_not_served(chosen: Cluster) -> None:
    port = {"name": "tcp", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 31000}
    outside = chosen.serve(["n1-a"], ports=[port])
    assert refuses(chosen.client, chosen.nodes["n1"].addresses[Family.IPV4], 31000)
    assert chosen.client.ask(outside.external_ip(Family.IPV4), 80).name == "n1-a"
    assert any("is not within 30000-30999" in each for each in chosen.agent("n1").status()["problems"])


def test_what_others_serve_in_excluded_ranges_is_left_alone(chosen: Cluster) -> None:
    node = chosen.nodes["n1"].namespace
    node.run("ipvsadm -A -t 198.18.7.1:80 -s sed -p 77")
    node.run("ipvsadm -a -t 198.18.7.1:80 -r 10.244.1.2:8080 -g -w 7")
    before = [line for line in node.run("ipvsadm-save -n").splitlines() if "198.18.7.1" in line]
    port = {"name": "tcp", "protocol": "TCP", "port": 80, "targetPort": 8080}
    other = chosen.serve(["n1-a"], ports=[port], externalIPs=["198.18.7.1"])
    chosen.agent("n1").kill_agent()
    chosen.start("n1")
    chosen.converge()
    assert [line for line in node.run("ipvsadm-save -n").splitlines() if "198.18.7.1" in line] == before
    assert chosen.pods["n1-c"].ask(other.cluster_ip(Family.IPV4), 80).name == "n1-a"


def test_a_node_whose_address_changes_talks_to_vips_from_the_new_one(chosen: Cluster, served: Proxied) -> None:
    node = chosen.nodes["n1"]
    node.namespace.run("ip address add 198.18.0.101/24 dev eth0")
    document = node.document()
    document["status"]["addresses"][0]["address"] = "198.18.0.101"
    chosen.manifests.write(document)
    chosen.converge()
    vip = served.cluster_ip(Family.IPV4)
    eventually(lambda: "src 198.18.0.101" in node.namespace.run(f"ip route get {vip}"))
    assert node.ask(vip, 80).name in {"n1-a", "n2-a"}
