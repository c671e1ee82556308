"""Clients that stay with an endpoint, and virtual servers that choose by other rules."""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Scheduler
from tests.vm.cluster import Cluster, Proxied

NAMES = ["n1-a", "n1-b", "n2-a", "n2-b"]


def affinity(seconds: int | None) -> dict[str, object]:
    config = {} if seconds is None else {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}
    return {"sessionAffinity": "ClientIP", **config}


@pytest.mark.parametrize("of", Family)
def test_a_client_stays_with_its_endpoint_and_another_has_another(cluster: Cluster, of: Family) -> None:
    served = cluster.serve(NAMES, **affinity(None))
    chosen = []
    for place in (cluster.pods["n1-c"], cluster.nodes["n1"], cluster.client):
        (only,) = {place.ask(served.external_ip(of), 80).name for _ in range(8)}
        chosen.append(only)
    assert len(set(chosen)) == 3
    assert "persistent 10800" in cluster.nodes["n1"].namespace.run("ipvsadm -Ln")


@pytest.mark.parametrize("of", Family)
def test_the_kernel_remembers_a_client_for_the_services_own_time(cluster: Cluster, of: Family) -> None:
    """From its last connection on; no less than IPVS remembers those."""
    served = cluster.serve(NAMES, **affinity(40))
    client = cluster.pods["n1-c"]
    client.ask(served.cluster_ip(of), 80)
    lines = map(str.split, cluster.nodes["n1"].namespace.run("ipvsadm -Lnc").splitlines()[2:])
    (left,) = (line[1] for line in lines if line[3].endswith(":0") and served.cluster_ip(of) in line[4])
    assert "00:30" <= left <= "00:40"


def test_a_client_whose_endpoint_goes_gets_another_one(cluster: Cluster) -> None:
    served = cluster.serve(NAMES, **affinity(600))
    client = cluster.pods["n1-c"]
    first = client.ask(served.cluster_ip(Family.IPV4), 80).name
    cluster.set_endpoints(served, [name for name in NAMES if name != first])
    assert client.ask(served.cluster_ip(Family.IPV4), 80).name != first


@pytest.mark.parametrize("of", Family)
def test_a_client_that_is_connected_to_an_endpoint_that_goes_gets_another_one_for_what_is_new(
    cluster: Cluster, of: Family
) -> None:
    served = cluster.serve(NAMES, **affinity(600))
    client = cluster.pods["n1-c"]
    with client.connect(served.cluster_ip(of), 80) as connection:
        first = connection.ask().name
        cluster.set_endpoints(served, NAMES, conditions={first: {"ready": False, "serving": True, "terminating": True}})
        (other,) = {client.ask(served.cluster_ip(of), 80).name for _ in range(6)}
        assert other != first
        assert connection.ask().name == first


@pytest.mark.parametrize("of", Family)
def test_affinity_and_its_time_are_changed_in_place(cluster: Cluster, of: Family) -> None:
    served = cluster.serve(NAMES)
    with cluster.pods["n1-c"].connect(served.cluster_ip(of), 80) as connection:
        first = connection.ask().name
        for wanted, shown in ((affinity(600), "persistent 600"), (affinity(40), "persistent 40"), ({}, "")):
            cluster.write(served, **wanted)
            cluster.converge()
            assert settings(cluster, served, of) == f"rr (flag-3) {shown}".strip()
            assert connection.ask().name == first
    assert {cluster.pods["n1-c"].ask(served.cluster_ip(of), 80).name for _ in range(8)} == set(NAMES)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_scheduler_answers_and_comes_and_goes_in_place(cluster: Cluster, scheduler: Scheduler) -> None:
    served = cluster.serve(NAMES, annotations={"birdctl.io/service.scheduler": scheduler})
    client = cluster.pods["n1-c"]
    assert settings(cluster, served).partition(" ")[0] == scheduler
    with client.connect(served.cluster_ip(Family.IPV4), 80) as connection:
        first = connection.ask().name
        for other in ("rr", "lc", scheduler):
            cluster.write(served, annotations={"birdctl.io/service.scheduler": other})
            cluster.converge()
            assert settings(cluster, served).partition(" ")[0] == other
            assert connection.ask().name == first
            assert client.ask(served.cluster_ip(Family.IPV4), 80).name in NAMES


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_a_client_stays_with_its_endpoint_by_its_address_or_by_its_port_too(cluster: Cluster, scheduler: str) -> None:
    annotations = {"birdctl.io/service.scheduler": scheduler}
    served = cluster.serve(NAMES, annotations=annotations)
    client = cluster.pods["n1-c"]
    assert len({client.ask(served.cluster_ip(Family.IPV4), 80).name for _ in range(12)}) == 1
    cluster.write(served, annotations={**annotations, "birdctl.io/service.schedflags": f"{scheduler}-port"})
    cluster.converge()
    assert len({client.ask(served.cluster_ip(Family.IPV4), 80).name for _ in range(12)}) > 1


def settings(cluster: Cluster, served: Proxied, of: Family = Family.IPV4) -> str:
    """Scheduler, flags and affinity that n1's kernel has at the cluster IP."""
    host = served.cluster_ip(of) if of is Family.IPV4 else f"[{served.cluster_ip(of)}]"
    listed = cluster.nodes["n1"].namespace.run(f"ipvsadm -Ln -t {host}:80").splitlines()
    (line,) = (each for each in listed if each.startswith("TCP"))
    return " ".join(line.split()[2:])
