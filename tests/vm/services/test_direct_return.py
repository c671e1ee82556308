"""Services with direct server return, from the annotation to the packets."""

from __future__ import annotations

from typing import Any

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol
from tests.vm.cluster import Cluster, Proxied, refuses
from tests.vm.services.test_endpoints import hinted
from tests.vm.world import PORT

TUNNEL = {"birdctl.io/service.dsr": "tunnel"}
BOTH = (Protocol.TCP, Protocol.UDP)
PORTS = [{"name": each.lower(), "protocol": each, "port": PORT, "targetPort": PORT} for each in BOTH]


def serve(cluster: Cluster, pods: list[str], **more: Any) -> Proxied:
    return cluster.serve(pods, BOTH, TUNNEL, ports=PORTS, **more)


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Proxied:
    return serve(cluster, ["n1-a", "n2-a"])


@pytest.mark.parametrize("protocol", BOTH)
@pytest.mark.parametrize("through", ["n1", "n2"])
@pytest.mark.parametrize("of", Family)
def test_clients_are_answered_by_every_endpoint_which_sees_them(
    cluster: Cluster, served: Proxied, of: Family, through: str, protocol: Protocol
) -> None:
    answers = [cluster.client.ask(served.external_ip(of, through), PORT, protocol) for _ in range(4)]
    assert {each.name for each in answers} == {"n1-a", "n2-a"}
    assert {each.peer for each in answers} == {cluster.client.addresses[of]}


@pytest.mark.parametrize("of", Family)
def test_pods_and_nodes_use_it_too(cluster: Cluster, served: Proxied, of: Family) -> None:
    for name in ("n1-c", "n2-c", "n1", "n2"):
        place = cluster.everybody[name]
        assert {place.ask(served.external_ip(of), PORT).name for _ in range(4)} == {"n1-a", "n2-a"}, name


@pytest.mark.parametrize("of", Family)
def test_its_other_addresses_are_as_those_of_other_services(cluster: Cluster, served: Proxied, of: Family) -> None:
    assert {cluster.pods["n2-c"].ask(served.cluster_ip(of), PORT).name for _ in range(4)} == {"n1-a", "n2-a"}
    node_port = (cluster.nodes["n1"].addresses[of], served.node_port())
    assert {cluster.client.ask(*node_port).name for _ in range(4)} == {"n1-a", "n2-a"}


@pytest.mark.parametrize("of", Family)
def test_other_ports_are_refused_at_once_from_everywhere(cluster: Cluster, served: Proxied, of: Family) -> None:
    for name, place in cluster.everybody.items():
        assert refuses(place, served.external_ip(of), 81), name


@pytest.mark.parametrize("of", Family)
def test_a_node_without_a_local_endpoint_drops_what_is_to_stay_local(cluster: Cluster, of: Family) -> None:
    local = serve(cluster, ["n1-a"], externalTrafficPolicy="Local")
    assert cluster.client.ask(local.external_ip(of, "n1"), PORT).name == "n1-a"
    with pytest.raises(TimeoutError):
        cluster.client.ask(local.external_ip(of, "n2"), PORT, timeout=1)
    assert cluster.pods["n2-c"].ask(local.external_ip(of, "n2"), PORT).name == "n1-a"


@pytest.mark.parametrize("of", Family)
def test_affinity_and_sources_hold_for_it_too(cluster: Cluster, of: Family) -> None:
    ranges = ["198.18.1.0/24", "2001:db8:1::/64"]
    choosy = serve(cluster, ["n1-a", "n2-a"], sessionAffinity="ClientIP", loadBalancerSourceRanges=ranges)
    assert len({cluster.client.ask(choosy.external_ip(of), PORT).name for _ in range(6)}) == 1
    assert cluster.client.ask(choosy.load_balancer_ip(of), PORT).name in {"n1-a", "n2-a"}
    with pytest.raises(TimeoutError):
        cluster.pods["n1-c"].ask(choosy.load_balancer_ip(of), PORT, timeout=1)
    assert cluster.pods["n1-c"].ask(choosy.external_ip(of), PORT).name in {"n1-a", "n2-a"}


@pytest.mark.parametrize("scheduler", ["rr", "mh", "dh"])
def test_another_scheduler_takes_no_connection_from_it(cluster: Cluster, scheduler: str) -> None:
    served = serve(cluster, ["n1-a", "n2-a"])
    address = served.external_ip(Family.IPV4)
    with cluster.client.connect(address, PORT) as connection:
        first = connection.ask().name
        cluster.write(served, BOTH, {**TUNNEL, "birdctl.io/service.scheduler": scheduler}, ports=PORTS)
        cluster.converge()
        assert cluster.client.ask(address, PORT).name in {"n1-a", "n2-a"}
        assert connection.ask().name == first


def crossed(each: dict[str, Any]) -> None:
    """Each endpoint is meant for the other node alone."""
    hinted("forNodes")(each)
    for endpoint in each["endpoints"]:
        endpoint["hints"]["forNodes"] = [{"name": "n2" if endpoint["nodeName"] == "n1" else "n1"}]


@pytest.mark.parametrize("of", Family)
def test_a_pod_that_only_the_other_node_chooses_answers(cluster: Cluster, of: Family) -> None:
    far = serve(cluster, ["n1-a", "n2-a"], change=crossed)
    for through, name in (("n1", "n2-a"), ("n2", "n1-a")):
        assert {cluster.client.ask(far.external_ip(of, through), PORT).name for _ in range(3)} == {name}


@pytest.mark.parametrize("of", Family)
def test_connections_of_an_endpoint_that_goes_live_on(cluster: Cluster, of: Family) -> None:
    going = serve(cluster, ["n1-a"])
    with cluster.client.connect(going.external_ip(of), PORT) as connection:
        assert connection.ask().name == "n1-a"
        cluster.set_endpoints(going, ["n1-a", "n2-a"], BOTH, conditions={"n1-a": {"ready": False}})
        assert {cluster.client.ask(going.external_ip(of), PORT).name for _ in range(3)} == {"n2-a"}
        assert connection.ask().name == "n1-a"


@pytest.mark.parametrize("of", Family)
def test_connections_of_the_last_endpoint_live_on_when_it_goes(cluster: Cluster, of: Family) -> None:
    """The node that balances sees nothing of what the pod of another node answers."""
    last = serve(cluster, ["n2-a"])
    with cluster.client.connect(last.external_ip(of), PORT) as connection:
        assert connection.ask().name == "n2-a"
        cluster.set_endpoints(last, ["n2-a"], BOTH, conditions={"n2-a": {"ready": False}})
        assert connection.ask().name == "n2-a"
        assert refuses(cluster.client, last.external_ip(of), PORT)


@pytest.mark.parametrize("of", Family)
def test_an_address_is_not_shared_with_a_service_that_answers_through_the_node(cluster: Cluster, of: Family) -> None:
    """The other one is told, and this one goes on."""
    direct = serve(cluster, ["n1-a", "n2-a"])
    port = {"name": "tcp", "protocol": "TCP", "port": 81, "targetPort": PORT}
    other = cluster.serve(["n2-b"], ports=[port], externalIPs=[direct.external_ip(of)])
    assert {cluster.client.ask(direct.external_ip(of), PORT).name for _ in range(4)} == {"n1-a", "n2-a"}
    assert refuses(cluster.client, direct.external_ip(of), 81)
    (problem,) = (each for each in cluster.agent("n1").status()["problems"] if f"/{other.name}:" in each)
    assert f"all of this address is served with service.dsr, as Service default/{direct.name} wants" in problem
