"""What cannot be is one clear error, and nothing else breaks."""

from __future__ import annotations

import pytest

from tests.unit.services.compile.build import compiled, endpoints, problems, served, service

GOOD = [service("good", ["10.96.0.100"]), endpoints("good", "10.1.1.100")]
SERVED = {"10.96.0.100 80/TCP": ["10.1.1.100:8080"]}
ENDPOINTS = endpoints("web", "10.1.1.2")
KEPT = {"10.96.0.1 80/TCP": ["10.1.1.2:8080"]}
TWICE = [{"name": "http", "port": 8080}, {"name": "http", "port": 9090}]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"ports": ["http:0"]}, "spec.ports[0].port: expected 1 to 65535, got 0"),
        ({"ports": ["http:65536"]}, "spec.ports[0].port: expected 1 to 65535, got 65536"),
        ({"ports": ["http:80/ICMP"]}, "spec.ports[0].protocol: expected TCP, UDP or SCTP, got 'ICMP'"),
        ({"cluster": ["10.96.0.300"]}, "spec.clusterIPs[0]: '10.96.0.300' does not appear to be an IPv4 or IPv6 addr"),
        ({"cluster": ["127.0.0.1"]}, "spec.clusterIPs[0]: 127.0.0.1 is unspecified, loopback, link-local, mult"),
    ],
)
def test_a_service_that_cannot_be_served(spec, problem):
    result = compiled(service(**spec), ENDPOINTS, *GOOD)
    assert served(result) == SERVED
    assert problems(result)[0].startswith(f"Service default/web: {problem}")
    assert len(problems(result)) == 1


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"ports": ["http:80", "also:80"]}, "spec.ports[1].port: 80/TCP is there twice; the first counts"),
        ({"ports": ["http:80", "http:81"]}, "spec.ports[1].name: 'http' is there twice; each port needs a name of its"),
        ({"ports": ["http:80", "x:0"]}, "spec.ports[1].port: expected 1 to 65535, got 0"),
        ({"node_ports": [80]}, "spec.ports[0].nodePort: 80 is not within 30000-32767 of --service-node-port-range"),
        ({"externalIPs": ["none"]}, "spec.externalIPs[0]: 'none' does not appear to be an IPv4 or IPv6 address"),
        ({"externalIPs": ["2001:db8:e::1"]}, "spec.externalIPs[0]: 2001:db8:e::1 is IPv6, and the service has no"),
        ({"externalIPs": ["224.0.0.1"]}, "spec.externalIPs[0]: 224.0.0.1 is unspecified, loopback, link-local"),
        ({"externalIPs": ["2001:db8:e::1%eth0"]}, "spec.externalIPs[0]: 2001:db8:e::1%eth0 has a zone or stands for"),
        ({"externalIPs": ["255.255.255.255"]}, "spec.externalIPs[0]: 255.255.255.255 is unspecified, loopback, link"),
        ({"externalIPs": ["::ffff:198.51.100.1"]}, "spec.externalIPs[0]: ::ffff:198.51.100.1 has a zone or stands"),
        ({"externalIPs": ["198.51.100.01"]}, "spec.externalIPs[0]: "),
    ],
)
def test_a_part_of_a_service_that_cannot_be_served(spec, problem):
    result = compiled(service(**spec), ENDPOINTS, *GOOD)
    assert served(result) == KEPT | SERVED
    (told,) = problems(result)
    assert told.startswith(f"Service default/web: {problem}")


@pytest.mark.parametrize(
    ("each", "problem"),
    [
        (
            endpoints("web", "nobody", name="bad"),
            "endpoints[0].addresses[0]: 'nobody' does not appear to be an IPv4 or",
        ),
        (endpoints("web", "fd00::1", name="bad", family="IPv4"), "endpoints[0].addresses[0]: fd00::1 is not IPv4"),
        (endpoints("web", "127.0.0.1", name="bad"), "endpoints[0].addresses[0]: 127.0.0.1 is unspecified, loopback"),
        (endpoints("web", "169.254.1.1", name="bad"), "endpoints[0].addresses[0]: 169.254.1.1 is unspecified, loop"),
        (endpoints("web", "fe80::1", name="bad"), "endpoints[0].addresses[0]: fe80::1 is unspecified, loopback"),
        (endpoints("web", "10.1.1.3", name="bad", family="IPX"), "addressType: expected IPv4, IPv6 or FQDN, got 'IPX'"),
        (endpoints("web", "10.1.1.3", name="bad", ports=["http:0"]), "ports[0].port: expected 1 to 65535, got 0"),
        (endpoints("web", "10.1.1.3", name="bad", ports=["http:1/X"]), "ports[0].protocol: expected TCP, UDP or SCTP"),
        (endpoints("web", name="bad", ports=TWICE), "ports[1].name: 'http' is there twice; the first counts"),
    ],
)
def test_a_slice_that_cannot_be_used(each, problem):
    result = compiled(service(), ENDPOINTS, each, *GOOD)
    assert served(result) == KEPT | SERVED
    (told,) = problems(result)
    assert told.startswith(f"EndpointSlice default/bad: {problem}")


def test_a_bad_endpoint_costs_only_itself():
    result = compiled(service(), endpoints("web", "10.1.1.2", "nobody", "10.1.1.3"))
    assert served(result) == {"10.96.0.1 80/TCP": ["10.1.1.2:8080", "10.1.1.3:8080"]}
    assert problems(result)[0].startswith("EndpointSlice default/web-1: endpoints[1].addresses[0]: ")


def test_slices_for_a_service_that_is_not_there():
    result = compiled(endpoints("ghost", "10.1.1.2"), *GOOD)
    assert served(result) == SERVED
    (told,) = problems(result)
    assert told == (
        "EndpointSlice default/ghost-1: metadata.labels[kubernetes.io/service-name]: "
        "there is no Service default/ghost: nothing is served"
    )


def test_a_slice_that_says_no_service_is_nobodys_business():
    result = compiled(endpoints("", "10.1.1.2", name="alone"), *GOOD)
    assert not problems(result)


def test_too_many_ports_are_an_error_and_the_first_thousand_are_served():
    ports = [f"p{number}:{number}" for number in range(1, 2001)]
    result = compiled(service(ports=ports), endpoints("web", "10.1.1.2", ports=ports), *GOOD)
    assert len(result.state.virtual_servers) == 1001
    (told,) = problems(result)
    assert told == (
        "Service default/web: spec.ports[1000]: 2000 ports are more than 1000: the others are not served; "
        "split the service"
    )


def test_an_object_with_every_fault_is_told_every_fault():
    bad = service(
        ports=["a:0", "b:80/X"],
        externalIPs=["none"],
        sessionAffinity="Cookie",
        annotations={"service.scheduler": "x", "service.dsr": "x"},
    )
    assert len(problems(compiled(bad, *GOOD))) == 6
