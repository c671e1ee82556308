"""Which endpoints of a Service answer, by packets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.cluster import ZONES, Cluster, Proxied, refuses
from tests.vm.world import PORT

CONDITIONS: dict[str, tuple[Mapping[str, bool], bool]] = {
    "ready": ({"ready": True}, True),
    "nothing said": ({}, True),
    "not ready": ({"ready": False}, False),
    "not ready, and serving": ({"ready": False, "serving": True}, False),
    "on its way out, and serving": ({"ready": False, "serving": True, "terminating": True}, False),
    "on its way out": ({"ready": False, "serving": False, "terminating": True}, False),
}


def answering(cluster: Cluster, served: Proxied, asking: str = "n1-c", of: Family = Family.IPV4) -> set[str]:
    place = cluster.everybody[asking]
    return {place.ask(served.cluster_ip(of), 80).name for _ in range(6)}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_beside_a_ready_endpoint_answers_what_is_ready(cluster: Cluster, condition: str) -> None:
    conditions, answers = CONDITIONS[condition]
    served = cluster.serve(["n1-a", "n2-a"], conditions={"n2-a": conditions})
    assert answering(cluster, served) == ({"n1-a", "n2-a"} if answers else {"n1-a"})


def test_endpoints_that_are_not_ready_answer_where_the_service_wants_that(cluster: Cluster) -> None:
    served = cluster.serve(["n1-a", "n2-a"], conditions={"n2-a": {"ready": False}}, publishNotReadyAddresses=True)
    assert answering(cluster, served) == {"n1-a", "n2-a"}


def test_slices_may_give_a_named_port_other_numbers(cluster: Cluster) -> None:
    """As two versions of a pod do."""
    cluster.world.servers.listen(cluster.pods["n2-b"].namespace, "n2-b/9090", 9090)
    served = cluster.serve(["n1-a"])

    def other_port(each: dict[str, Any]) -> None:
        each["metadata"]["name"] += "-other"
        each["ports"][0]["port"] = 9090

    cluster.set_endpoints(served, ["n2-b"], change=other_port)
    assert answering(cluster, served) == {"n1-a", "n2-b/9090"}


def hinted(kind: str) -> Any:
    """Each endpoint is meant for its own node or zone."""

    def hint(each: dict[str, Any]) -> None:
        for endpoint in each["endpoints"]:
            node = endpoint["nodeName"]
            endpoint["hints"] = {kind: [{"name": ZONES[node] if kind == "forZones" else node}]}

    return hint


NEAR: dict[str, dict[str, Any]] = {
    "zone hints": {"change": hinted("forZones")},
    "node hints": {"change": hinted("forNodes")},
    "PreferClose": {"trafficDistribution": "PreferClose"},
    "PreferSameZone": {"trafficDistribution": "PreferSameZone"},
    "PreferSameNode": {"trafficDistribution": "PreferSameNode"},
}


@pytest.mark.parametrize("how", NEAR)
def test_near_endpoints_answer_and_far_ones_where_none_is_near(cluster: Cluster, how: str) -> None:
    served = cluster.serve(["n1-a", "n1-b", "n2-a"], **NEAR[how])
    assert answering(cluster, served, "n1-c") == {"n1-a", "n1-b"}
    assert answering(cluster, served, "n2-c") == {"n2-a"}
    cluster.set_endpoints(served, ["n1-a", "n1-b"], change=NEAR[how].get("change"))
    assert answering(cluster, served, "n2-c") == {"n1-a", "n1-b"}


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize("of", Family)
def test_a_service_without_an_endpoint_refuses_everybody_at_once(
    cluster: Cluster, of: Family, protocol: Protocol
) -> None:
    served = cluster.serve([], [protocol])
    for name, place in cluster.everybody.items():
        for address in (served.external_ip(of), served.load_balancer_ip(of)):
            assert refuses(place, address, 80, protocol)
        assert name == "client" or refuses(place, served.cluster_ip(of), 80, protocol)
        assert refuses(place, cluster.nodes["n1"].addresses[of], served.node_port(protocol), protocol)


@pytest.mark.parametrize("of", Family)
def test_a_connection_to_a_port_without_an_endpoint_is_reset(cluster: Cluster, of: Family) -> None:
    """Over ICMP's word alone, a socket would wait a second and try again."""
    served = cluster.serve([])
    node_port = (cluster.nodes["n1"].addresses[of], served.node_port())
    for place in (cluster.client, cluster.pods["n1-c"]):
        for address, port in (node_port, (served.external_ip(of), 80)):
            with pytest.raises(ConnectionRefusedError):
                place.ask(address, port, timeout=0.9)


def test_a_service_of_too_many_ports_is_told_and_serves_what_it_may_and_others_work(cluster: Cluster) -> None:
    ports = [{"name": f"p{number}", "protocol": "TCP", "port": number, "nodePort": 0} for number in range(80, 2080)]
    last = cluster.serve(["n1-a"])

    def all_ports(each: dict[str, Any]) -> None:
        each["ports"] = [{**port, "port": PORT} for port in ports]

    served = cluster.serve(["n2-a"], ports=ports, externalIPs=[], change=all_ports)
    client = cluster.pods["n1-c"]
    assert client.ask(served.cluster_ip(Family.IPV4), 80).name == "n2-a"
    assert client.ask(served.cluster_ip(Family.IPV6), 1079).name == "n2-a"
    with pytest.raises(ConnectionRefusedError):
        client.ask(served.cluster_ip(Family.IPV4), 1080)
    assert answering(cluster, last) == {"n1-a"}
    problem = f"Service default/{served.name}: spec.ports[1000]: 2000 ports are more than 1000"
    assert any(each.startswith(problem) for each in cluster.agent("n1").status()["problems"])
    cluster.manifests.remove("Service", served.name)
    for of in Family:
        cluster.manifests.remove("EndpointSlice", f"{served.name}-{of.digit}")
    cluster.converge()


BAD: dict[str, dict[str, Any]] = {
    "port 0": {"ports": [{"name": "tcp", "protocol": "TCP", "port": 0}]},
    "an address of no family": {"externalIPs": ["nowhere"]},
    "an address in the cluster's range": {"externalIPs": ["10.96.1.1"]},
    "an unknown protocol": {"ports": [{"name": "tcp", "protocol": "GRE", "port": 80, "nodePort": 0}]},
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_service_breaks_no_other(cluster: Cluster, bad: str) -> None:
    good = cluster.serve(["n1-a"])
    wrong = cluster.serve(["n1-b"], **BAD[bad])
    assert answering(cluster, good) == {"n1-a"}
    assert any(f"Service default/{wrong.name}: " in each for each in cluster.agent("n1").status()["problems"])
