"""One port wanted by two services is one's, the other's is an error, and the order they come in does not matter."""

from __future__ import annotations

import itertools

import pytest

from birdctl.cluster.events import Deleted
from birdctl.cluster.objects import Service
from birdctl.cluster.store import Cluster
from tests.unit.services.compile.build import compiled, compiler, endpoints, problems, served, service

EXTERNAL = "198.51.100.1 80/TCP"
A = [service("a", ["10.96.0.1"], externalIPs=["198.51.100.1"]), endpoints("a", "10.1.1.1")]
B = [service("b", ["10.96.0.2"], externalIPs=["198.51.100.1"]), endpoints("b", "10.1.1.2")]
C = [
    service("c", ["10.96.0.3"], externalIPs=["198.51.100.1"], ports=["https:443"]),
    endpoints("c", "10.1.1.3", ports=["https:443"]),
]


@pytest.mark.parametrize("order", list(itertools.permutations([A, B, C])))
def test_the_smaller_name_gets_it_and_the_other_is_told(order):
    result = compiled(*itertools.chain(*order))
    assert served(result)[EXTERNAL] == ["10.1.1.1:8080"]
    assert served(result)["10.96.0.2 80/TCP"] == ["10.1.1.2:8080"]
    (told,) = problems(result)
    assert told == (
        "Service default/b: spec.externalIPs: 198.51.100.1 80/TCP is served for Service default/a already: "
        "not for this one"
    )


def test_other_ports_of_the_address_are_shared_without_a_word():
    result = compiled(*A, *C)
    assert served(result)["198.51.100.1 443/TCP"] == ["10.1.1.3:443"]
    assert not problems(result)


def test_when_the_first_goes_the_second_gets_it_and_back():
    cluster = Cluster.of(*A, *B)
    compiling = compiler()
    compiling.compile(cluster)
    cluster.take_dirty()
    cluster.apply(Deleted(Service, "default/a"))
    after = compiling.compile(cluster, dirty=cluster.take_dirty())
    assert served(after)[EXTERNAL] == ["10.1.1.2:8080"]
    assert EXTERNAL in [f"{key.address} {key.port}/{key.protocol}" for key in after.touched]


def test_a_cluster_ip_is_its_own_services_whatever_others_write():
    thief = [service("a", ["10.96.0.1"], externalIPs=["10.200.0.2"]), endpoints("a", "10.1.1.1")]
    owner = [service("b", ["10.200.0.2"]), endpoints("b", "10.1.1.2")]
    result = compiled(*thief, *owner, strict_external_ip_validation=False)
    assert served(result)["10.200.0.2 80/TCP"] == ["10.1.1.2:8080"]
    assert (
        "Service default/a: spec.externalIPs: 10.200.0.2 80/TCP is served for Service default/b" in problems(result)[0]
    )


@pytest.mark.parametrize(
    ("owner", "address"),
    [
        (service("b", ["10.96.0.2"], ingress=["198.51.100.2"]), "198.51.100.2 80/TCP"),
        (service("b", ["10.96.0.2"], node_ports=[30080]), "172.16.0.1 30080/TCP"),
    ],
)
def test_an_external_ip_takes_no_load_balancer_ip_and_no_node_port(owner, address):
    host, number = address.removesuffix("/TCP").split()
    thief = service("a", ["10.96.0.1"], externalIPs=[host], ports=[f"http:{number}"])
    slices = [endpoints("a", "10.1.1.1"), endpoints("b", "10.1.1.2")]
    result = compiled(thief, owner, *slices, strict_external_ip_validation=False)
    assert served(result)[address] == ["10.1.1.2:8080"]
    assert [
        each for each in problems(result) if f"Service default/a: spec.externalIPs: {address} is served for" in each
    ]


def test_a_node_port_has_one_service():
    services = [service(name, [f"10.96.0.{number}"], node_ports=[30080]) for number, name in enumerate("ab", 1)]
    result = compiled(*services)
    assert (
        result.state.virtual_servers[
            next(key for key in result.state.virtual_servers if key.port == 30080)
        ].owner.service
        == "default/a"
    )
    assert [each for each in problems(result) if "30080/TCP is served for Service default/a" in each]


def test_a_health_check_port_has_one_service():
    services = [
        service(
            name,
            [f"10.96.0.{number}"],
            ingress=[f"192.0.2.{number}"],
            externalTrafficPolicy="Local",
            healthCheckNodePort=32000,
        )
        for number, name in enumerate("ba", 1)
    ]
    result = compiled(*services)
    assert result.state.health_checks[32000].service == "default/a"
    assert problems(result) == [
        "Service default/b: spec.healthCheckNodePort: 32000 is Service default/a's already: not answered for this one"
    ]
