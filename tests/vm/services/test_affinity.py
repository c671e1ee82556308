"""Clients that stay with an endpoint, and virtual servers that choose by other rules."""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.services.model import Scheduler
from tests.vm.cluster import Cluster

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


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_scheduler_answers_and_is_changed_in_place(cluster: Cluster, scheduler: Scheduler) -> None:
    served = cluster.serve(NAMES, annotations={"birdctl.io/service.scheduler": scheduler})
    with cluster.pods["n1-c"].connect(served.cluster_ip(Family.IPV4), 80) as connection:
        before = connection.ask().name
        assert f"{served.cluster_ip(Family.IPV4)}:80 {scheduler}" in cluster.nodes["n1"].namespace.run("ipvsadm -Ln")
        assert before in NAMES
