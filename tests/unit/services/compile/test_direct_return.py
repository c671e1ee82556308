"""Direct server return: firewall marks that stand for external addresses, and pods that answer by themselves."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from birdctl.cluster.events import Changed, Deleted
from birdctl.cluster.objects import Service
from birdctl.cluster.store import Cluster
from birdctl.services.compile import marks as module
from birdctl.services.compile.marks import marks
from birdctl.services.model import DIRECT_MARK, DIRECT_MARK_MASK, Forwarding, Mark, Port
from tests.unit.services.compile.build import (
    N1,
    N2,
    compiled,
    compiler,
    endpoints,
    port,
    problems,
    served,
    service,
    text,
    texts,
)

TUNNEL = {"service.dsr": "tunnel"}
ENDPOINTS = endpoints("web", "10.1.1.2", "10.1.2.2 on=n2", ports=["http:80"])
EXTERNAL = "198.51.100.1 80/TCP"


def web(**spec):
    spec = {"externalIPs": ["198.51.100.1"], "annotations": TUNNEL, **spec}
    return service(**spec)


def direct(result):
    """Addresses and ports of the virtual servers that are marks."""
    return {text(each.owner): each for key, each in result.state.virtual_servers.items() if isinstance(key, Mark)}


def test_external_and_load_balancer_ips_are_marks_with_tunnels_and_not_held():
    result = compiled(web(ingress=["192.0.2.1"]), ENDPOINTS)
    assert sorted(direct(result)) == ["192.0.2.1 80/TCP", EXTERNAL]
    assert {each.forwarding for each in direct(result).values()} == {Forwarding.TUNNEL}
    assert list(map(str, result.state.addresses)) == ["10.96.0.1"]
    assert texts(result.state.vip_ports) == ["10.96.0.1 80/TCP"]
    assert not problems(result)


def test_cluster_ips_and_node_ports_stay_as_they_are():
    result = compiled(web(node_ports=[30080]), ENDPOINTS)
    ordinary = {
        text(each.owner): each.forwarding for key, each in result.state.virtual_servers.items() if isinstance(key, Port)
    }
    assert ordinary == dict.fromkeys(["10.96.0.1 80/TCP", "172.16.0.1 30080/TCP"], Forwarding.MASQUERADE)


def test_a_direct_return_tells_its_port_its_mark_and_the_pods_here():
    result = compiled(web(), ENDPOINTS)
    (found,) = result.state.direct_returns
    assert text(found.port) == EXTERNAL
    assert direct(result)[EXTERNAL].key.mark == found.mark
    assert list(map(str, found.local_pods)) == ["10.1.1.2"]


def test_ipv6_has_marks_of_its_own():
    both = web(cluster=["10.96.0.1", "fd00:96::1"], externalIPs=["198.51.100.1", "2001:db8:e::1"])
    six = endpoints("web", "fd00:1:1::2", ports=["http:80"], name="web-6")
    result = compiled(both, ENDPOINTS, six)
    assert {str(key.family) for key in result.state.virtual_servers if isinstance(key, Mark)} == {"IPv4", "IPv6"}
    assert [str(each.address) for each in direct(result)["2001:db8:e::1 80/TCP"].real_servers] == ["fd00:1:1::2"]


def test_traffic_policy_local_holds_for_direct_return():
    local = compiled(web(externalTrafficPolicy="Local"), ENDPOINTS)
    assert served(local)[EXTERNAL] == ["10.1.1.2:80"]
    away = compiled(web(externalTrafficPolicy="Local"), endpoints("web", "10.1.2.2 on=n2", ports=["http:80"]))
    assert texts(away.state.inside_only) == [EXTERNAL]


def test_a_service_without_endpoints_keeps_its_mark():
    result = compiled(web(), endpoints("web", ports=["http:80"]))
    assert list(direct(result)) == [EXTERNAL]
    assert not problems(result)


def test_two_ports_of_one_address_are_two_marks():
    result = compiled(web(ports=["http:80", "https:443"]), endpoints("web", "10.1.1.2", ports=["http:80", "https:443"]))
    assert len({each.mark for each in result.state.direct_returns}) == 2


def test_one_port_that_cannot_go_directly_keeps_the_whole_service_from_it():
    """Its address is held then, and what pods answer from an address that this node holds does not get through."""
    mixed = web(ports=["http:80", {"name": "https", "port": 443, "targetPort": 8443}])
    result = compiled(mixed, endpoints("web", "10.1.1.2", ports=["http:80", "https:8443"]))
    assert not direct(result)
    assert "198.51.100.1" in map(str, result.state.addresses)
    assert len(problems(result)) == 1


@pytest.mark.parametrize("usual", ["other", "zoo"])
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_services_at_one_address_the_first_decides_whether_it_has_direct_return(usual, turned):
    objects = [web(), ENDPOINTS, service(usual, ["10.96.0.2"], externalIPs=["198.51.100.1"], ports=["ssh:22"])]
    result = compiled(*(objects[::-1] if turned else objects))
    first, other, how, number = ("other", "web", "without", 80) if usual == "other" else ("web", "zoo", "with", 22)
    (told,) = problems(result)
    assert told == (
        f"Service default/{other}: spec.externalIPs: 198.51.100.1 {number}/TCP: all of this address is served {how} "
        f"service.dsr, as Service default/{first} wants: not for this one"
    )
    assert ("198.51.100.1" in map(str, result.state.addresses)) is (usual == "other")
    assert list(direct(result)) == ([] if usual == "other" else [EXTERNAL])


def test_when_the_first_service_of_an_address_goes_the_other_gets_it_and_loses_it_again():
    first = service("other", ["10.96.0.2"], externalIPs=["198.51.100.1"], ports=["ssh:22"])
    cluster, compiling = Cluster.of(N1, N2, first, web(), ENDPOINTS), compiler()
    compiling.compile(cluster)
    cluster.take_dirty()
    for event, expected in [(Deleted(Service, first.key), [EXTERNAL]), (Changed(first), [])]:
        cluster.apply(event)
        assert list(direct(compiling.compile(cluster, dirty=cluster.take_dirty()))) == expected


def test_an_address_of_this_node_has_no_direct_return():
    result = compiled(web(externalIPs=["172.16.0.1"]), ENDPOINTS, strict_external_ip_validation=False)
    assert not direct(result)
    assert served(result)["172.16.0.1 80/TCP"] == ["10.1.1.2:80", "10.1.2.2:80"]


@pytest.mark.parametrize("state", ["zones=b", "unready", "ending"])
def test_pods_here_that_get_nothing_new_from_here_can_still_answer(state):
    """Other nodes may choose them, and connections that they have go on."""
    slices = endpoints("web", f"10.1.1.2 {state}", "10.1.1.3 zones=a", ports=["http:80"])
    (found,) = compiled(web(), slices).state.direct_returns
    assert sorted(map(str, found.local_pods)) == ["10.1.1.2", "10.1.1.3"]


@pytest.mark.parametrize(
    ("target", "number"), [({"targetPort": 8080}, 8080), ({"targetPort": "http"}, 8080), ({"targetPort": 8080}, 80)]
)
def test_another_target_port_is_an_error_and_the_usual_way(target, number):
    ports = [{"name": "http", "port": 80, **target}]
    result = compiled(web(ports=ports), endpoints("web", "10.1.1.2", ports=[f"http:{number}"]))
    assert not direct(result)
    assert served(result)[EXTERNAL] == [f"10.1.1.2:{number}"]
    assert "198.51.100.1" in map(str, result.state.addresses)
    (told,) = problems(result)
    assert told == (
        "Service default/web: spec.ports[0].port: is 80, and endpoints have 8080; with service.dsr both must be one: "
        "answers go back through this node"
    )


def test_what_is_wrong_in_both_families_is_told_once():
    both = web(cluster=["10.96.0.1", "fd00:96::1"], externalIPs=["198.51.100.1", "2001:db8:e::1"])
    slices = [endpoints("web", "10.1.1.2"), endpoints("web", "fd00:1:1::2", name="web-6")]
    assert len(problems(compiled(both, *slices))) == 1


def test_an_unknown_word_is_an_error_and_the_usual_way():
    result = compiled(web(annotations={"service.dsr": "gre"}), ENDPOINTS)
    assert not direct(result)
    assert served(result)[EXTERNAL] == ["10.1.1.2:80", "10.1.2.2:80"]
    (told,) = problems(result)
    assert told == (
        "Service default/web: metadata.annotations[birdctl.io/service.dsr]: expected tunnel, got 'gre'; "
        "answers go back through this node"
    )


def test_pods_with_the_hosts_network_are_left_out():
    result = compiled(web(), endpoints("web", "10.1.1.2", "172.16.0.2 on=n2", ports=["http:80"]))
    assert served(result)[EXTERNAL] == ["10.1.1.2:80"]
    assert served(result)["10.96.0.1 80/TCP"] == ["10.1.1.2:80", "172.16.0.2:80"]
    (told,) = problems(result)
    assert told == (
        "Service default/web: spec.ports[0].port: "
        "service.dsr does not reach pods with hostNetwork, as 172.16.0.2: left out"
    )


def test_when_all_pods_have_the_hosts_network_it_is_the_usual_way():
    result = compiled(web(), endpoints("web", "172.16.0.2 on=n2", ports=["http:80"]))
    assert not direct(result)
    assert served(result)[EXTERNAL] == ["172.16.0.2:80"]
    assert "answers go back through this node" in problems(result)[0]


def ports(number):
    return [port(str(ipaddress.ip_address("198.51.100.0") + each), 80) for each in range(number)]


def test_marks_are_the_same_in_any_order():
    some = ports(50)
    assert marks(some) == marks(some[::-1])


def test_marks_are_found_under_one_mask():
    assert all(mark.mark & DIRECT_MARK_MASK == DIRECT_MARK for mark in marks(ports(50)).values())


def test_a_mark_that_two_ports_want_is_given_once_whatever_the_order(monkeypatch):
    monkeypatch.setattr(module, "_SPACE", 7)
    some = ports(7)
    found = [marks(order) for order in itertools.permutations(some)]
    assert len({each.mark for each in found[0].values()}) == 7
    assert all(each == found[0] for each in found)


def test_the_families_have_their_own_marks(monkeypatch):
    monkeypatch.setattr(module, "_SPACE", 0)
    assert len(marks([port("198.51.100.1", 80), port("2001:db8:e::1", 80)])) == 2
