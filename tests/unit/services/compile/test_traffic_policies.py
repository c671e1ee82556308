"""Which endpoints a client gets by where it is: traffic policies, hints, health checks."""

from __future__ import annotations

import pytest

from birdctl.services.model import HealthCheck
from tests.unit.services.compile.build import compiled, endpoints, node, reasons, served, service, texts

HERE, THERE = "10.1.1.2", "10.1.2.2 on=n2"
CLUSTER, EXTERNAL, NODE_PORT = "10.96.0.1 80/TCP", "198.51.100.1 80/TCP", "172.16.0.1 30080/TCP"
ALL = ["10.1.1.2:8080", "10.1.2.2:8080"]


def web(**spec):
    return service(externalIPs=["198.51.100.1"], node_ports=[30080], **spec)


def with_endpoints(*texts_, annotations=None, **spec):
    return compiled(web(annotations=annotations, **spec), endpoints("web", *texts_))


def test_policy_cluster_means_all_endpoints_everywhere():
    result = with_endpoints(HERE, THERE)
    assert served(result) == {CLUSTER: ALL, EXTERNAL: ALL, NODE_PORT: ALL}
    assert not result.state.inside_only


def test_internal_policy_local_holds_for_cluster_ips_alone():
    result = with_endpoints(HERE, THERE, internalTrafficPolicy="Local")
    assert served(result) == {CLUSTER: ALL[:1], EXTERNAL: ALL, NODE_PORT: ALL}
    assert reasons(result) == ["IPv4 port http (80/TCP): 1 endpoint on other nodes: the traffic policy is Local"]


def test_internal_policy_local_without_an_endpoint_here_refuses():
    assert served(with_endpoints(THERE, internalTrafficPolicy="Local"))[CLUSTER] == []


@pytest.mark.parametrize(
    "local", [{"externalTrafficPolicy": "Local"}, {"annotations": {"kube-router.io/service.local": "true"}}]
)
def test_external_policy_local_holds_for_all_but_cluster_ips(local):
    result = with_endpoints(HERE, THERE, **local)
    assert served(result) == {CLUSTER: ALL, EXTERNAL: ALL[:1], NODE_PORT: ALL[:1]}
    assert not result.state.inside_only


def test_external_policy_local_without_an_endpoint_here_answers_the_clusters_own_alone():
    result = with_endpoints(THERE, externalTrafficPolicy="Local")
    assert served(result) == dict.fromkeys([CLUSTER, EXTERNAL, NODE_PORT], ALL[1:])
    assert texts(result.state.inside_only) == [NODE_PORT, EXTERNAL]


def test_service_local_is_only_local_when_it_says_true():
    result = with_endpoints(THERE, annotations={"service.local": "false"})
    assert not result.state.inside_only


def test_an_endpoint_here_that_serves_to_its_end_is_better_than_none_here():
    result = with_endpoints("10.1.1.2 serving", THERE, externalTrafficPolicy="Local")
    assert served(result)[EXTERNAL] == ["10.1.1.2:8080"]
    assert not result.state.inside_only


def test_an_endpoint_here_that_serves_no_more_drains_while_all_others_answer_the_clusters_own():
    result = with_endpoints("10.1.1.2 ending", THERE, externalTrafficPolicy="Local")
    assert served(result)[EXTERNAL] == ["(10.1.1.2:8080)", "10.1.2.2:8080"]
    assert EXTERNAL in texts(result.state.inside_only)


def test_both_policies_may_be_local():
    result = with_endpoints(THERE, externalTrafficPolicy="Local", internalTrafficPolicy="Local")
    assert served(result) == {CLUSTER: [], EXTERNAL: ALL[1:], NODE_PORT: ALL[1:]}


# node n1 is in zone a, n2 in zone b
@pytest.mark.parametrize(
    ("here", "there", "found"),
    [
        ("zones=a", "zones=b", ["10.1.1.2"]),
        ("zones=a,b", "zones=b,a", ["10.1.1.2", "10.1.2.2"]),
        ("zones=b", "zones=a", ["10.1.2.2"]),
        ("zones=a", "", ["10.1.1.2", "10.1.2.2"]),  # one without a hint: hints count for nothing
        ("zones=c", "zones=c", ["10.1.1.2", "10.1.2.2"]),  # none for this zone
        ("zones=a", "unready", ["10.1.1.2"]),  # only ready ones need hints
        ("nodes=n1", "nodes=n2", ["10.1.1.2"]),
        ("nodes=n2 zones=b", "nodes=n1 zones=b", ["10.1.2.2"]),
        ("nodes=n3 zones=a", "nodes=n3 zones=b", ["10.1.1.2"]),  # none for this node: zones decide
        ("nodes=n1 zones=a", "zones=b", ["10.1.1.2"]),
        ("nodes=n3", "nodes=n3", ["10.1.1.2", "10.1.2.2"]),
    ],
)
def test_hints_count_if_all_ready_endpoints_have_them_and_one_is_for_here(here, there, found):
    result = with_endpoints(f"10.1.1.2 {here}", f"10.1.2.2 on=n2 {there}")
    assert served(result)[CLUSTER] == [f"{address}:8080" for address in found]


def test_hints_mean_nothing_where_the_policy_is_local():
    result = with_endpoints("10.1.1.2 zones=b", "10.1.2.2 on=n2 zones=a", internalTrafficPolicy="Local")
    assert served(result)[CLUSTER] == ["10.1.1.2:8080"]


def test_hints_mean_nothing_when_no_endpoint_is_ready():
    result = with_endpoints("10.1.1.2 serving zones=a", "10.1.2.2 serving on=n2 zones=b")
    assert served(result)[CLUSTER] == ALL


def test_hints_mean_nothing_on_a_node_without_a_zone():
    bare = node("n1", "172.16.0.1")
    result = compiled(web(), endpoints("web", "10.1.1.2 zones=a", "10.1.2.2 zones=b"), nodes=[bare])
    assert served(result)[CLUSTER] == ALL


def test_what_hints_leave_out_is_told():
    result = with_endpoints("10.1.1.2 zones=a", "10.1.2.2 on=n2 zones=b")
    assert reasons(result) == ["IPv4 port http (80/TCP): 1 endpoint meant for other nodes or zones"]


@pytest.mark.parametrize(
    ("distribution", "found"),
    [
        ("PreferClose", ["10.1.1.2:8080", "10.1.1.3:8080"]),
        ("PreferSameZone", ["10.1.1.2:8080", "10.1.1.3:8080"]),
        ("PreferSameNode", ["10.1.1.2:8080"]),
        ("", ["10.1.1.2:8080", "10.1.1.3:8080", "10.1.2.2:8080"]),
    ],
)
def test_a_distribution_is_kept_where_the_control_plane_wrote_no_hints(distribution, found):
    result = with_endpoints("10.1.1.2 in=a", "10.1.1.3 on=n3 in=a", f"{THERE} in=b", trafficDistribution=distribution)
    assert served(result)[CLUSTER] == found


def test_a_distribution_never_leaves_a_service_without_endpoints():
    result = with_endpoints(f"{THERE} in=b", trafficDistribution="PreferSameNode")
    assert served(result)[CLUSTER] == ALL[1:]


def health(*texts_, **spec):
    spec = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32000, **spec}
    return with_endpoints(*texts_, ingress=["192.0.2.1"], **spec).state.health_checks


@pytest.mark.parametrize(
    ("found", "number"),
    [((HERE, THERE), 1), ((HERE, "10.1.1.3"), 2), ((THERE,), 0), (("10.1.1.2 serving", "10.1.1.3 unready"), 0)],
)
def test_the_health_check_counts_ready_endpoints_here(found, number):
    assert health(*found) == {32000: HealthCheck(service="default/web", local_endpoints=number)}


def test_the_health_check_counts_an_endpoint_of_two_ports_and_families_once():
    both = service(
        cluster=["10.96.0.1", "fd00:96::1"],
        ports=["http:80", "https:443"],
        ingress=["192.0.2.1"],
        externalTrafficPolicy="Local",
        healthCheckNodePort=32000,
    )
    ports = ["http:8080", "https:8443"]
    result = compiled(
        both, endpoints("web", HERE, ports=ports), endpoints("web", "fd00:1:1::2", ports=ports, name="web-6")
    )
    assert result.state.health_checks[32000].local_endpoints == 1


def test_there_is_no_health_check_unless_external_traffic_is_to_stay_local():
    assert health(HERE, externalTrafficPolicy="Cluster") == {}
    assert health(HERE, healthCheckNodePort=0) == {}
