"""Which endpoints stand behind a port, and with which weight."""

from __future__ import annotations

import msgspec
import pytest

from birdctl.addresses import parse_address
from birdctl.cluster.objects import Endpoint
from tests.unit.services.compile.build import compiled, endpoints, pod, problems, reasons, served, service

HTTP = "10.96.0.1 80/TCP"


def behind(*slices, **spec):
    return served(compiled(service(**spec), *slices))[HTTP]


def test_the_endpoints_of_several_slices_are_one_sorted_list_each_once():
    slices = [
        endpoints("web", "10.1.1.10", "10.1.1.2", name="web-1"),
        endpoints("web", "10.1.1.2", "10.1.2.3 on=n2", name="web-2"),
    ]
    assert behind(*slices) == ["10.1.1.2:8080", "10.1.1.10:8080", "10.1.2.3:8080"]


@pytest.mark.parametrize("order", [("ready", "unready"), ("unready", "ready"), ("serving", "ready"), ("nil", "ending")])
def test_of_an_endpoint_in_two_slices_the_better_entry_counts(order):
    slices = [endpoints("web", f"10.1.1.2 {state}", name=f"web-{state}") for state in order]
    assert behind(*slices) == ["10.1.1.2:8080"]


def test_slices_may_give_a_port_different_numbers():
    slices = [
        endpoints("web", "10.1.1.2", name="web-1", ports=["http:8080"]),
        endpoints("web", "10.1.1.3", name="web-2", ports=["http:9090"]),
    ]
    assert behind(*slices) == ["10.1.1.2:8080", "10.1.1.3:9090"]


def test_ports_meet_by_name_and_protocol():
    result = compiled(
        service(ports=["http:80", "metrics:9100", "http3:80/UDP"]),
        endpoints("web", "10.1.1.2", ports=["metrics:9101", "http:8080", "http3:8080"]),
    )
    assert served(result) == {
        HTTP: ["10.1.1.2:8080"],
        "10.96.0.1 9100/TCP": ["10.1.1.2:9101"],
        "10.96.0.1 80/UDP": [],
    }
    assert reasons(result) == ["port http3 (80/UDP): no EndpointSlice has a port of this name and protocol"]


def test_a_port_without_a_name_meets_the_one_without_a_name():
    assert behind(endpoints("web", "10.1.1.2", ports=[":8080"]), ports=[":80"]) == ["10.1.1.2:8080"]


def test_a_nil_port_number_is_a_reason_and_no_crash():
    result = compiled(service(), endpoints("web", "10.1.1.2", ports=[{"name": "http"}]))
    assert served(result) == {HTTP: []}
    assert not problems(result)
    assert reasons(result) == ["port http (80/TCP): an EndpointSlice gives the port no number"]


def test_only_the_first_address_of_an_endpoint_counts():
    each = endpoints("web", "10.1.1.2")
    doubled = {"addresses": ["10.1.1.2", "10.1.1.99"]}
    assert behind(endpoints_with(each, doubled)) == ["10.1.1.2:8080"]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("nil", ["10.1.1.2:8080", "10.1.1.3:8080"]),
        ("ready", ["10.1.1.2:8080", "10.1.1.3:8080"]),
        ("unready", ["10.1.1.2:8080"]),
        ("serving", ["10.1.1.2:8080", "(10.1.1.3:8080)"]),
        ("ending", ["10.1.1.2:8080", "(10.1.1.3:8080)"]),
    ],
)
def test_beside_a_ready_endpoint_only_ready_ones_serve_and_terminating_ones_drain(state, found):
    assert behind(endpoints("web", "10.1.1.2", f"10.1.1.3 {state}")) == found


def test_without_a_ready_endpoint_those_that_serve_to_their_end_do():
    slices = endpoints("web", "10.1.1.2 unready", "10.1.1.3 serving", "10.1.1.4 ending")
    assert behind(slices) == ["10.1.1.3:8080", "(10.1.1.4:8080)"]


def test_endpoints_that_serve_no_more_drain_to_the_last():
    assert behind(endpoints("web", "10.1.1.2 unready", "10.1.1.3 ending")) == ["(10.1.1.3:8080)"]


def test_nil_serving_means_ready():
    only_terminating = {"conditions": {"ready": False, "terminating": True}}
    slices = endpoints_with(endpoints("web", "10.1.1.2"), only_terminating)
    assert behind(slices) == ["(10.1.1.2:8080)"]


def test_without_graceful_termination_nothing_drains():
    result = compiled(
        service(), endpoints("web", "10.1.1.2", "10.1.1.3 serving", "10.1.1.4 ending"), ipvs_graceful_termination=False
    )
    assert served(result)[HTTP] == ["10.1.1.2:8080"]
    alone = compiled(service(), endpoints("web", "10.1.1.3 serving"), ipvs_graceful_termination=False)
    assert served(alone)[HTTP] == ["10.1.1.3:8080"]


def test_endpoints_that_are_not_ready_may_be_published():
    slices = endpoints("web", "10.1.1.2 unready", "10.1.1.3 ending", "10.1.1.4")
    assert behind(slices, publishNotReadyAddresses=True) == ["10.1.1.2:8080", "10.1.1.3:8080", "10.1.1.4:8080"]


def test_what_is_not_ready_is_told():
    result = compiled(service(), endpoints("web", "10.1.1.2 unready", "10.1.1.3 unready"))
    assert reasons(result) == ["IPv4 port http (80/TCP): 2 endpoints not ready"]


@pytest.mark.parametrize("label", ["service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"])
def test_slices_for_others_are_left_alone(label):
    assert behind(endpoints("web", "10.1.1.2", labels={label: "other"})) == []


def test_a_slice_of_host_names_is_left_out_with_a_reason():
    named = endpoints("web", "www.example.org", family="FQDN", name="web-names")
    result = compiled(service(), endpoints("web", "10.1.1.2"), named)
    assert served(result)[HTTP] == ["10.1.1.2:8080"]
    assert reasons(result) == ["EndpointSlice default/web-names: addresses of type FQDN are not served"]
    assert not problems(result)


@pytest.mark.parametrize("state", ["unready", "ending"])
def test_without_an_endpoint_an_address_is_held_and_every_port_refuses(state):
    """Node ports, too."""
    result = compiled(service(node_ports=[30080]), endpoints("web", f"10.1.1.2 {state}"))
    assert list(map(str, result.state.addresses)) == ["10.96.0.1"]
    assert result.state.unserved == result.state.virtual_servers.keys()
    assert len(result.state.unserved) > 1


def test_a_port_with_an_endpoint_does_not_refuse():
    assert not compiled(service(), endpoints("web", "10.1.1.2", "10.1.1.3 unready")).state.unserved


def test_an_endpoint_that_terminates_has_its_pods_grace_period():
    slices = endpoints("web", "10.1.1.2 pod=a", "10.1.1.3 serving pod=b", "10.1.1.4 ending pod=c", "10.1.1.5 ending")
    result = compiled(service(), slices, pod("a", 10), pod("b", 120))
    assert result.grace == {parse_address("10.1.1.3"): 120.0}


@pytest.mark.parametrize("asked", [0, 5, 600])
def test_the_grace_period_that_a_pod_was_deleted_with_counts(asked):
    result = compiled(service(), endpoints("web", "10.1.1.3 serving pod=b"), pod("b", 120, asked))
    assert result.grace == {parse_address("10.1.1.3"): float(asked)}


def test_of_pods_with_one_address_the_longest_grace_period_counts():
    slices = [endpoints(name, f"172.16.0.2 ending pod={name}") for name in ("a", "b")]
    services = [service(name, [f"10.96.0.{number}"]) for number, name in enumerate("ab", 1)]
    assert compiled(*services, *slices, pod("a", 120), pod("b", 60)).grace == {parse_address("172.16.0.2"): 120.0}


def endpoints_with(each, changed):
    """The slice with other fields of its first endpoint, in the API's spelling."""
    first = msgspec.convert({**msgspec.to_builtins(each.endpoints[0]), **changed}, Endpoint)
    return msgspec.structs.replace(each, endpoints=(first, *each.endpoints[1:]))
