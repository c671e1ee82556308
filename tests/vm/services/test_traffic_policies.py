"""Where traffic is to stay on its node, by packets: who is answered, by whom, and what becomes of the others."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from birdctl.addresses import Family
from tests.vm.cluster import Cluster, Proxied
from tests.vm.world import Node, Place

WAYS = {
    "an external IP": lambda served, _, of: (served.external_ip(of, "n2"), 80),
    "a node port": lambda served, cluster, of: (cluster.nodes["n2"].addresses[of], served.node_port()),
}
ENDING = {"ready": False, "serving": True, "terminating": True}


def refused(place: Place, address: str, port: int = 80) -> None:
    with pytest.raises(ConnectionRefusedError):
        place.ask(address, port)


def dropped(place: Place, address: str, port: int = 80) -> None:
    with pytest.raises(TimeoutError):
        place.ask(address, port, timeout=1)


@pytest.fixture(scope="module", params=["externalTrafficPolicy", "service.local"])
def external(cluster: Cluster, request: pytest.FixtureRequest) -> Proxied:
    """Its endpoints are on n1."""
    if request.param == "service.local":
        return cluster.serve(["n1-a", "n1-b"], annotations={"birdctl.io/service.local": "true"})
    return cluster.serve(["n1-a", "n1-b"], externalTrafficPolicy="Local", healthCheckNodePort=32500)


@pytest.mark.parametrize("of", Family)
def test_external_local_answers_from_outside_where_the_endpoints_are_and_they_see_the_client(
    cluster: Cluster, external: Proxied, of: Family
) -> None:
    node = cluster.nodes["n1"]
    for address, port in ((external.external_ip(of, "n1"), 80), (node.addresses[of], external.node_port())):
        answers = [cluster.client.ask(address, port) for _ in range(4)]
        assert {each.name for each in answers} == {"n1-a", "n1-b"}
        assert {each.peer for each in answers} == {cluster.client.addresses[of]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", Family)
def test_external_local_drops_what_comes_from_outside_to_a_node_without_an_endpoint_and_answers_the_inside(
    cluster: Cluster, external: Proxied, of: Family, way: str
) -> None:
    address, port = WAYS[way](external, cluster, of)
    dropped(cluster.client, address, port)
    for place in (cluster.pods["n2-c"], cluster.nodes["n2"]):
        assert place.ask(address, port).name in {"n1-a", "n1-b"}


@pytest.mark.parametrize("of", Family)
def test_external_local_says_nothing_of_the_cluster_ip(cluster: Cluster, external: Proxied, of: Family) -> None:
    assert cluster.pods["n2-c"].ask(external.cluster_ip(of), 80).name in {"n1-a", "n1-b"}


@pytest.mark.parametrize("of", Family)
def test_internal_local_answers_with_the_nodes_own_endpoints_and_refuses_at_once_where_there_is_none(
    cluster: Cluster, of: Family
) -> None:
    served = cluster.serve(["n1-a", "n1-b"], internalTrafficPolicy="Local")
    for place in (cluster.pods["n1-c"], cluster.nodes["n1"]):
        assert {place.ask(served.cluster_ip(of), 80).name for _ in range(4)} == {"n1-a", "n1-b"}
    for place in (cluster.pods["n2-c"], cluster.nodes["n2"]):
        refused(place, served.cluster_ip(of))
        assert place.ask(served.external_ip(of, "n2"), 80).name in {"n1-a", "n1-b"}


@pytest.mark.parametrize("of", Family)
def test_load_balancer_addresses_answer_the_sources_that_the_service_names(cluster: Cluster, of: Family) -> None:
    """And the node itself. Other addresses answer everybody."""
    outside, pod = cluster.client, cluster.pods["n1-c"]
    allowed = cluster.serve(["n1-a"], loadBalancerSourceRanges=["198.18.1.0/24", "2001:db8:1::/64"])
    assert outside.ask(allowed.load_balancer_ip(of), 80).name == "n1-a"
    dropped(pod, allowed.load_balancer_ip(of))
    forbidden = cluster.serve(["n1-a"], loadBalancerSourceRanges=["10.244.0.0/16", "fd00:244::/32"])
    dropped(outside, forbidden.load_balancer_ip(of))
    for place in (pod, cluster.nodes["n1"]):
        assert place.ask(forbidden.load_balancer_ip(of), 80).name == "n1-a"
    assert outside.ask(forbidden.external_ip(of), 80).name == "n1-a"


@pytest.mark.parametrize("of", Family)
def test_the_last_endpoint_of_a_node_serves_to_its_end(cluster: Cluster, of: Family) -> None:
    """And so does a service's last one."""
    served = cluster.serve(["n1-a", "n2-a"], externalTrafficPolicy="Local", conditions={"n1-a": ENDING})
    assert cluster.client.ask(served.external_ip(of, "n1"), 80).name == "n1-a"
    assert {cluster.pods["n1-c"].ask(served.cluster_ip(of), 80).name for _ in range(4)} == {"n2-a"}
    cluster.set_endpoints(served, ["n1-a"], conditions={"n1-a": ENDING})
    assert cluster.pods["n2-c"].ask(served.cluster_ip(of), 80).name == "n1-a"


def test_health_checks_say_on_each_node_whether_it_has_a_ready_endpoint(cluster: Cluster) -> None:
    served = cluster.serve(["n1-a"], externalTrafficPolicy="Local", healthCheckNodePort=32501)
    assert [status(cluster, node, 32501) for node in cluster.nodes.values()] == [200, 503]
    cluster.set_endpoints(served, ["n1-a", "n2-a"], conditions={"n1-a": ENDING})
    assert [status(cluster, node, 32501) for node in cluster.nodes.values()] == [503, 200]


def status(cluster: Cluster, node: Node, port: int) -> int:
    """What the client, which is outside, is told."""
    with cluster.client.namespace.inside():
        try:
            with urllib.request.urlopen(f"http://{node.addresses[Family.IPV4]}:{port}/healthz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
