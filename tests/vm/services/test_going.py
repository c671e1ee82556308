"""Endpoints that go, with connections on them."""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Protocol, Scheduler
from tests.polling import eventually
from tests.vm.cluster import Cluster, Proxied
from tests.vm.sockets import Connection

ENDING = {"ready": False, "serving": True, "terminating": True}
NAMES = ["n1-a", "n1-b", "n2-a"]
WAYS = {"a pod": "n1-c", "the node": "n1", "outside": "client"}


def pod(name: str, seconds: int) -> dict[str, object]:
    """With so many seconds to end in."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"terminationGracePeriodSeconds": seconds, "nodeName": name[:2], "containers": []},
    }


def connected(cluster: Cluster, served: Proxied, asking: str, of: Family, to: str) -> Connection:
    """To this endpoint."""
    address = served.external_ip(of) if asking == "client" else served.cluster_ip(of)
    while True:
        connection = cluster.everybody[asking].connect(address, 80)
        if connection.ask().name == to:
            return connection
        connection.close()


def chosen(cluster: Cluster, served: Proxied, of: Family = Family.IPV4) -> set[str]:
    return {cluster.pods["n1-c"].ask(served.cluster_ip(of), 80).name for _ in range(4)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", Family)
@pytest.mark.parametrize("slices", ["says that it ends", "names it no more"])
def test_connections_live_on_and_new_ones_go_elsewhere_until_it_comes_back(
    cluster: Cluster, slices: str, of: Family, way: str
) -> None:
    served = cluster.serve(["n1-a", "n2-a"])
    with connected(cluster, served, WAYS[way], of, "n1-a") as connection:
        if slices == "says that it ends":
            cluster.set_endpoints(served, ["n1-a", "n2-a"], conditions={"n1-a": ENDING})
        else:
            cluster.set_endpoints(served, ["n2-a"])
        assert chosen(cluster, served, of) == {"n2-a"}
        assert connection.ask().name == "n1-a"
        cluster.set_endpoints(served, ["n1-a", "n2-a"])
        assert chosen(cluster, served, of) == {"n1-a", "n2-a"}
        assert connection.ask().name == "n1-a"


@pytest.mark.parametrize("scheduler", Scheduler)
def test_whatever_the_scheduler_nobody_new_is_sent_to_it(cluster: Cluster, scheduler: Scheduler) -> None:
    served = cluster.serve(NAMES, annotations={"birdctl.io/service.scheduler": scheduler})
    address = served.external_ip(Family.IPV4)
    with cluster.client.connect(address, 80) as connection:
        first = connection.ask().name
        cluster.set_endpoints(served, NAMES, conditions={first: ENDING})
        for place in cluster.everybody.values():
            assert {place.ask(address, 80).name for _ in range(4)} <= {*NAMES} - {first}, place.name
        assert scheduler is Scheduler.DH or connection.ask().name == first


@pytest.mark.parametrize("of", Family)
def test_when_its_time_is_over_it_goes_with_its_connections(cluster: Cluster, of: Family) -> None:
    cluster.manifests.write(pod("n1-a", 6))
    served = cluster.serve(["n1-a", "n2-a"])
    with connected(cluster, served, "n1-c", of, "n1-a") as connection:
        cluster.set_endpoints(served, ["n1-a", "n2-a"], conditions={"n1-a": ENDING})
        assert connection.ask().name == "n1-a"
        eventually(lambda: real_servers(cluster, served, of) == 1, pause=0.2)
        with pytest.raises(OSError, match=r"timed out|reset|refused"):
            connection.ask()
    cluster.manifests.remove("Pod", "n1-a")


def test_an_endpoint_without_connections_goes_at_once(cluster: Cluster) -> None:
    served = cluster.serve(["n1-a", "n2-a"])
    cluster.set_endpoints(served, ["n2-a"])
    eventually(lambda: real_servers(cluster, served, Family.IPV4) == 1, pause=0.1)


def real_servers(cluster: Cluster, served: Proxied, of: Family) -> int:
    address = served.cluster_ip(of)
    text = f"{address}:80" if of is Family.IPV4 else f"[{address}]:80"
    return cluster.nodes["n1"].namespace.run(f"ipvsadm -Ln -t {text}").count("->") - 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", Family)
def test_a_datagram_socket_that_goes_on_sending_reaches_another_endpoint(
    cluster: Cluster, of: Family, way: str
) -> None:
    protocols = [Protocol.UDP]
    served = cluster.serve(["n1-a"], protocols)
    address = served.external_ip(of) if way == "outside" else served.cluster_ip(of)
    with cluster.everybody[WAYS[way]].connect(address, 80, Protocol.UDP) as connection:
        assert connection.ask().name == "n1-a"
        cluster.set_endpoints(served, ["n2-a"], protocols)
        assert connection.ask().name == "n2-a"
        cluster.set_endpoints(served, ["n1-b"], protocols)
        assert connection.ask().name == "n1-b"


@pytest.mark.parametrize("of", Family)
def test_datagrams_that_were_refused_arrive_when_there_is_an_endpoint(cluster: Cluster, of: Family) -> None:
    served = cluster.serve([], [Protocol.UDP])
    with cluster.pods["n1-c"].connect(served.cluster_ip(of), 80, Protocol.UDP) as connection:
        with pytest.raises(ConnectionRefusedError):
            connection.ask()
        cluster.set_endpoints(served, ["n2-a"], [Protocol.UDP])
        assert connection.ask().name == "n2-a"


@pytest.mark.parametrize("of", Family)
def test_datagrams_sent_before_the_service_was_there_do_not_keep_it_away(cluster: Cluster, of: Family) -> None:
    """The flow that the first one left behind leads nowhere."""
    first = cluster.serve(["n1-a"], [Protocol.UDP])
    later = Proxied(first.number + 1)
    with cluster.pods["n1-c"].connect(later.cluster_ip(of), 80, Protocol.UDP, timeout=2) as connection:
        with pytest.raises(OSError, match=r"timed out|refused|unreachable|route"):
            connection.ask()
        assert cluster.serve(["n1-a"], [Protocol.UDP]) == later
        assert connection.ask().name == "n1-a"
