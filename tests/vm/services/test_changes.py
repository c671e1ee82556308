"""Services that become something else, and those that are none of ours, by packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from birdctl.addresses import Family
from tests.vm.cluster import Cluster, Proxied, refuses
from tests.vm.world import PORT


def held(cluster: Cluster, address: str) -> bool:
    """Whether n1 takes packets for it."""
    return cluster.nodes["n1"].namespace.run(f"ip route get {address}").startswith("local")


@pytest.mark.parametrize("of", Family)
def test_a_service_of_another_type_has_other_addresses_and_its_connections_live_on(
    cluster: Cluster, of: Family
) -> None:
    served, client, pod = cluster.serve(["n1-a", "n2-a"]), cluster.client, cluster.pods["n1-c"]
    node_port = (cluster.nodes["n1"].addresses[of], served.node_port())
    with pod.connect(served.cluster_ip(of), 80) as connection:
        first = connection.ask().name
        for type_, on_node, on_balancer in (
            ("NodePort", True, False),
            ("ClusterIP", False, False),
            ("LoadBalancer", True, True),
        ):
            cluster.write(served, type=type_)
            cluster.converge()
            assert held(cluster, served.load_balancer_ip(of)) is on_balancer
            assert refuses(client, *node_port) is not on_node
            assert client.ask(served.external_ip(of), 80).name in {"n1-a", "n2-a"}
            assert connection.ask().name == first


@pytest.mark.parametrize("of", Family)
def test_an_address_and_a_port_that_go_leave_the_others(cluster: Cluster, of: Family) -> None:
    served, client = cluster.serve(["n1-a"]), cluster.client
    cluster.write(served, externalIPs=[])
    cluster.converge()
    assert not held(cluster, served.external_ip(of))
    assert client.ask(served.load_balancer_ip(of), 80).name == "n1-a"
    cluster.write(served, externalIPs=[], ports=[{"name": "tcp", "protocol": "TCP", "port": 81, "targetPort": PORT}])
    cluster.converge()
    assert refuses(client, served.load_balancer_ip(of), 80)
    assert client.ask(served.load_balancer_ip(of), 81).name == "n1-a"


NOT_OURS: dict[str, Mapping[str, Any]] = {
    "headless": {"clusterIP": "None", "clusterIPs": ["None"]},
    "labelled as headless": {"labels": {"service.kubernetes.io/headless": ""}},
    "another proxy's": {"labels": {"service.kubernetes.io/service-proxy-name": "other"}},
    "only a name": {"type": "ExternalName", "externalName": "example.org", "clusterIPs": []},
}


@pytest.mark.parametrize("kind", NOT_OURS)
def test_a_service_that_is_none_of_ours_is_left_alone_whenever_it_becomes_so(cluster: Cluster, kind: str) -> None:
    served = cluster.serve(["n1-a"])
    addresses = [
        address
        for of in Family
        for address in (served.cluster_ip(of), served.external_ip(of), served.load_balancer_ip(of))
    ]
    assert all(held(cluster, each) for each in addresses)
    cluster.write(served, **NOT_OURS[kind])
    cluster.converge()
    assert not any(held(cluster, each) for each in addresses)
    listed = cluster.nodes["n1"].namespace.run("ipvsadm -Ln")
    assert f":{served.node_port()} " not in listed
    assert not any(f"{each}:80 " in listed or f"[{each}]:80 " in listed for each in addresses)
    cluster.write(served)
    cluster.converge()
    assert cluster.client.ask(served.external_ip(Family.IPV4), 80).name == "n1-a"


@pytest.fixture
def balancer(cluster: Cluster) -> Iterator[str]:
    """A load balancer outside: the router has its address itself."""
    router = cluster.world.router
    cluster.world.servers.listen(router.namespace, "balancer", 80)
    yield "balancer"
    cluster.world.servers.stop(router.namespace)


@pytest.mark.parametrize("of", Family)
def test_pods_go_to_a_load_balancer_that_is_a_proxy(cluster: Cluster, balancer: str, of: Family) -> None:
    """And not around it: with `ipMode: Proxy` it may want to see them."""
    served = cluster.serve(["n1-a"], ip_mode="Proxy")
    address, router = served.load_balancer_ip(of), cluster.world.router.namespace
    router.run(f"ip address add {address} dev lo")
    try:
        for place in (cluster.pods["n1-c"], cluster.nodes["n1"]):
            assert place.ask(address, 80).name == balancer
            assert place.ask(served.cluster_ip(of), 80).name == "n1-a"
        cluster.write(served, ip_mode="VIP")
        cluster.converge()
        assert cluster.pods["n1-c"].ask(address, 80).name == "n1-a"
    finally:
        router.run(f"ip address del {address} dev lo")


@pytest.mark.parametrize("missing", Family)
def test_a_service_with_endpoints_of_one_family_answers_there_and_refuses_in_the_other(
    cluster: Cluster, missing: Family
) -> None:
    served = cluster.serve(["n1-a", "n2-a"])
    cluster.manifests.remove("EndpointSlice", f"{served.name}-{missing.digit}")
    cluster.converge()
    for of in Family:
        for place, address in (
            (cluster.client, served.external_ip(of)),
            (cluster.pods["n1-c"], served.cluster_ip(of)),
        ):
            if of is missing:
                assert refuses(place, address, 80)
            else:
                assert {place.ask(address, 80).name for _ in range(4)} == {"n1-a", "n2-a"}


@pytest.fixture
def on_hosts(cluster: Cluster) -> Iterator[Proxied]:
    """A Service whose endpoints are the nodes themselves, as the API servers' is."""
    served = cluster.serve(["n1-a", "n2-a"], change=lambda each: of_nodes(cluster, each))
    for node in cluster.nodes.values():
        cluster.world.servers.listen(node.namespace, node.name, PORT)
    yield served
    for node in cluster.nodes.values():
        cluster.world.servers.stop(node.namespace)


def of_nodes(cluster: Cluster, each: dict[str, Any]) -> None:
    for endpoint in each["endpoints"]:
        node = cluster.nodes[endpoint["nodeName"]]
        endpoint["addresses"] = [str(node.addresses[Family(each["addressType"])])]


@pytest.mark.parametrize("of", Family)
def test_pods_with_the_hosts_network_answer_everybody(cluster: Cluster, on_hosts: Proxied, of: Family) -> None:
    node_port = (cluster.nodes["n1"].addresses[of], on_hosts.node_port())
    for name, place in cluster.everybody.items():
        inner = [] if name == "client" else [(on_hosts.cluster_ip(of), 80)]
        for target in (*inner, (on_hosts.external_ip(of), 80), (on_hosts.load_balancer_ip(of), 80), node_port):
            assert {place.ask(*target).name for _ in range(4)} == {"n1", "n2"}, (name, target)
