"""Which addresses a service is served at, on this node."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from tests.unit.services.compile.build import (
    N1,
    N2,
    compiled,
    compiler,
    endpoints,
    node,
    only,
    pool,
    port,
    problems,
    reasons,
    served,
    service,
    texts,
)

WEB = endpoints("web", "10.1.1.2")
BOTH = ("10.96.0.1", "fd00:96::1")


def addresses(result):
    return sorted(map(str, result.state.addresses))


def test_a_cluster_ip_is_held_and_served_at_the_services_port():
    result = compiled(service(), WEB)
    assert served(result) == {"10.96.0.1 80/TCP": ["10.1.1.2:8080"]}
    assert addresses(result) == ["10.96.0.1"]
    assert texts(result.state.vip_ports) == ["10.96.0.1 80/TCP"]


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_every_protocol_is_served(protocol):
    result = compiled(service(ports=[f"x:53/{protocol}"]), endpoints("web", "10.1.1.2", ports=[f"x:5353/{protocol}"]))
    assert served(result) == {f"10.96.0.1 53/{protocol}": ["10.1.1.2:5353"]}


def test_one_number_may_be_two_protocols_ports():
    result = compiled(
        service(ports=["dns:53/UDP", "dns-tcp:53/TCP"]),
        endpoints("web", "10.1.1.2", ports=["dns:5353/UDP", "dns-tcp:5454/TCP"]),
    )
    assert served(result) == {"10.96.0.1 53/UDP": ["10.1.1.2:5353"], "10.96.0.1 53/TCP": ["10.1.1.2:5454"]}


def test_each_family_has_its_own_endpoints():
    result = compiled(service(cluster=BOTH), WEB, endpoints("web", "fd00:1:1::2", name="web-6"))
    assert served(result) == {
        "10.96.0.1 80/TCP": ["10.1.1.2:8080"],
        "fd00:96::1 80/TCP": ["fd00:1:1::2:8080"],
    }


def test_a_service_without_an_endpoint_is_there_and_refuses():
    result = compiled(service())
    assert served(result) == {"10.96.0.1 80/TCP": []}
    assert reasons(result) == ["port http (80/TCP): no EndpointSlice has a port of this name and protocol"]


def test_a_family_that_is_off_is_left_out():
    result = compiled(service(cluster=BOTH), WEB, enable_ipv6=False)
    assert addresses(result) == ["10.96.0.1"]
    assert reasons(result) == ["ClusterIP fd00:96::1: IPv6 is off (--enable-ipv6)"]


def test_external_and_load_balancer_ips_are_held_and_served_as_the_cluster_ip_is():
    result = compiled(service(externalIPs=["198.51.100.1"], ingress=["192.0.2.1"]), WEB)
    assert served(result) == {
        key: ["10.1.1.2:8080"] for key in ["10.96.0.1 80/TCP", "192.0.2.1 80/TCP", "198.51.100.1 80/TCP"]
    }
    assert addresses(result) == ["10.96.0.1", "192.0.2.1", "198.51.100.1"]
    assert not problems(result)


def test_an_address_that_is_external_and_the_load_balancers_is_served_once():
    ranges = {"service_external_ip_range": ["192.0.2.0/24"]}
    result = compiled(service(externalIPs=["192.0.2.1"], ingress=["192.0.2.1"]), WEB, **ranges)
    assert addresses(result) == ["10.96.0.1", "192.0.2.1"]
    assert not problems(result)


@pytest.mark.parametrize(
    ("ingress", "reason"),
    [
        ({"ip": "192.0.2.1", "ipMode": "Proxy"}, "status.loadBalancer.ingress[0].ip 192.0.2.1: its ipMode is Proxy"),
        ({"hostname": "lb.example.com"}, None),
    ],
)
def test_what_is_not_for_the_node_to_serve(ingress, reason):
    result = compiled(service(ingress=[ingress]), WEB)
    assert addresses(result) == ["10.96.0.1"]
    assert not problems(result)
    assert reasons(result) == ([reason] if reason else [])


def test_excluded_addresses_are_others_to_serve():
    excluded = ["192.0.2.0/24", "172.16.0.1/32"]
    result = compiled(service(ingress=["192.0.2.1"], node_ports=[30080]), WEB, excluded_cidrs=excluded)
    assert list(served(result)) == ["10.96.0.1 80/TCP"]
    assert addresses(result) == ["10.96.0.1"]
    assert reasons(result) == ["LoadBalancerIP 192.0.2.1: it lies in --excluded-cidrs, which others serve"]


def test_skiplbips_leaves_load_balancer_ips_out():
    result = compiled(service(ingress=["192.0.2.1"], annotations={"service.skiplbips": ""}), WEB)
    assert addresses(result) == ["10.96.0.1"]
    assert reasons(result) == ["status.loadBalancer.ingress[0].ip 192.0.2.1: the annotation service.skiplbips"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"externalIPs": ["203.0.113.1"]}, "spec.externalIPs[0]: 203.0.113.1 lies in none of --service-external-ip-"),
        ({"externalIPs": ["10.96.0.9"]}, "spec.externalIPs[0]: 10.96.0.9 lies in --service-cluster-ip-range"),
        ({"ingress": ["203.0.113.1"]}, "status.loadBalancer.ingress[0].ip: 203.0.113.1 lies in none of --loadbalancer"),
        ({"ingress": ["10.96.0.9"]}, "status.loadBalancer.ingress[0].ip: 10.96.0.9 lies in --service-cluster-ip-range"),
    ],
)
def test_strict_validation_takes_addresses_from_their_ranges_alone(spec, problem):
    result = compiled(service(**spec), WEB)
    assert addresses(result) == ["10.96.0.1"]
    (told,) = problems(result)
    assert told.startswith(f"Service default/web: {problem}")
    assert told.endswith(": not served")


def test_a_pool_is_a_range_of_load_balancer_ips():
    assert addresses(compiled(service(ingress=["203.0.113.7"]), WEB, pool("public", "203.0.113.0/24"))) == [
        "10.96.0.1",
        "203.0.113.7",
    ]


def test_without_strict_validation_any_address_is_taken_but_cluster_ips():
    result = compiled(service(externalIPs=["203.0.113.1", "10.96.0.9"]), WEB, strict_external_ip_validation=False)
    assert addresses(result) == ["10.96.0.1", "203.0.113.1"]
    assert len(problems(result)) == 1


def test_an_external_ip_that_is_this_nodes_own_is_served_but_not_held():
    result = compiled(service(externalIPs=["172.16.0.1"]), WEB, service_external_ip_range=["172.16.0.0/24"])
    assert "172.16.0.1 80/TCP" in served(result)
    assert addresses(result) == ["10.96.0.1"]
    assert texts(result.state.vip_ports) == ["10.96.0.1 80/TCP"]


def test_an_external_ip_that_the_node_has_though_the_api_does_not_know_is_not_held_either():
    cluster = Cluster.of(N1, N2, service(externalIPs=["198.51.100.1"]), WEB)
    compiling = compiler()
    local = ip_address("198.51.100.1")
    assert local in compiling.compile(cluster).state.addresses
    for own in ([local], []):
        after = compiling.compile(cluster, local=own, dirty=[])
        assert "198.51.100.1 80/TCP" in served(after)
        assert (local in after.state.addresses, local in after.state.node_addresses) == (not own, bool(own))


def test_of_the_nodes_addresses_each_node_serves_its_own():
    both = service(externalIPs=["172.16.0.1", "172.16.0.2"])
    result = compiled(both, WEB, service_external_ip_range=["172.16.0.0/24"])
    assert list(served(result)) == ["10.96.0.1 80/TCP", "172.16.0.1 80/TCP"]
    assert not problems(result)
    assert reasons(result) == ["ExternalIP 172.16.0.2: it is an address of Node n2, which serves it itself"]


def test_node_ports_answer_at_the_internal_addresses_of_the_services_families():
    result = compiled(service(node_ports=[30080]), WEB)
    assert list(served(result)) == ["10.96.0.1 80/TCP", "172.16.0.1 30080/TCP"]
    assert addresses(result) == ["10.96.0.1"]
    both = compiled(service(cluster=BOTH, node_ports=[30080]), WEB)
    assert "fd00:16::1 30080/TCP" in served(both)


def test_a_node_without_internal_address_has_node_ports_at_its_external_one():
    result = compiled(service(node_ports=[30080]), WEB, nodes=[node("n1", external=["203.0.113.1"])])
    assert "203.0.113.1 30080/TCP" in served(result)


def test_node_ports_may_answer_at_all_local_addresses():
    local = ["172.16.0.1", "192.168.0.1", "127.0.0.1", "fe80::1", "fd00:16::1"]
    result = compiled(service(node_ports=[30080]), WEB, local=local, nodeport_bindon_all_ip=True)
    assert [each for each in served(result) if "30080" in each] == ["172.16.0.1 30080/TCP", "192.168.0.1 30080/TCP"]


def test_local_addresses_are_nothing_to_node_ports_unless_asked_for():
    result = compiled(service(node_ports=[30080]), WEB, local=["192.168.0.1"])
    assert "192.168.0.1 30080/TCP" not in served(result)
    assert "192.168.0.1" in map(str, result.state.node_addresses)


def test_a_node_port_out_of_range_is_an_error_and_the_rest_is_served():
    result = compiled(service(node_ports=[31000]), WEB, service_node_port_range=(30000, 30999))
    assert list(served(result)) == ["10.96.0.1 80/TCP"]
    (told,) = problems(result)
    assert told == (
        "Service default/web: spec.ports[0].nodePort: "
        "31000 is not within 30000-30999 of --service-node-port-range: not served"
    )


def test_a_load_balancer_without_node_ports_has_none():
    result = compiled(service(ingress=["192.0.2.1"], allocateLoadBalancerNodePorts=False), WEB)
    assert not [each for each in served(result) if each.startswith("172.16")]


def test_who_a_virtual_server_belongs_to_is_written_on_it():
    owner = only(compiled(service(), WEB)).owner
    assert (owner.service, owner.port_name, owner.kind, owner.port) == ("default/web", "http", "ClusterIP", 80)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cluster": ["None"]}, "is headless"),
        ({"cluster": [], "type": "ExternalName", "externalName": "x.org"}, "is a name only (type ExternalName)"),
        ({"cluster": []}, "has no cluster IP"),
        ({"labels": {"service.kubernetes.io/headless": ""}}, "has the label service.kubernetes.io/headless"),
        ({"labels": {"service.kubernetes.io/service-proxy-name": "other"}}, "is for the proxy 'other'"),
    ],
)
def test_services_that_are_left_alone(fields, reason):
    result = compiled(service(**fields), WEB)
    assert not result.state.virtual_servers
    assert not problems(result)
    assert result.services["default/web"].left_alone == reason


@pytest.mark.parametrize("name", ["birdctl", "kube-router"])
def test_services_with_our_own_proxy_name_are_served(name):
    assert only(compiled(service(labels={"service.kubernetes.io/service-proxy-name": name}), WEB))


def test_the_state_knows_pods_nodes_and_the_address_to_talk_from():
    state = compiled(local=["192.168.0.1"]).state
    assert sorted(map(str, state.pods)) == ["10.1.1.0/24", "10.1.2.0/24", "fd00:1:1::/64", "fd00:1:2::/64"]
    assert sorted(map(str, state.local_pods)) == ["10.1.1.0/24", "fd00:1:1::/64"]
    assert {family: str(address) for family, address in state.sources.items()} == {
        Family.IPV4: "172.16.0.1",
        Family.IPV6: "fd00:16::1",
    }
    assert sorted(map(str, state.node_addresses)) == ["172.16.0.1", "192.168.0.1", "fd00:16::1"]


def test_pod_cidrs_of_the_annotation_win():
    nodes = [node("n1", "172.16.0.1", pods=["10.1.1.0/24"], annotations={"pod-cidrs": "10.9.0.0/24"}), N2]
    state = compiled(nodes=nodes).state
    assert sorted(map(str, state.local_pods)) == ["10.9.0.0/24"]


def test_a_node_that_is_not_known_serves_cluster_ips_and_says_so():
    result = compiled(service(node_ports=[30080]), WEB, nodes=[N2])
    assert list(served(result)) == ["10.96.0.1 80/TCP"]
    assert problems(result) == ["Node n1: is not known or has no address: no NodePort is served"]


def test_addresses_are_taken_back_when_their_service_goes():
    assert compiled(N1).state.addresses == frozenset()
    assert port("10.96.0.1", 80) not in compiled(N1).state.virtual_servers
