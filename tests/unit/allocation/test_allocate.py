"""Which load balancer address a Service gets."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import Family, parse_prefix
from birdctl.allocation.allocate import Allocation, Usage, allocate
from birdctl.allocation.options import AllocationOptions
from birdctl.cluster.bgp import AddressPool, AddressPoolSpec
from birdctl.cluster.objects import (
    LabelSelector,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Namespace,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from birdctl.cluster.store import Cluster

OPTIONS = AllocationOptions(service_cluster_ip_range=(parse_prefix("10.96.0.0/12"),))
BOTH = ("IPv4", "IPv6")


def service(
    name: str,
    *,
    namespace: str = "default",
    status: Iterable[str] = (),
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    ports: Iterable[int] = (80,),
    **spec: Any,
) -> Service:
    spec = {"type": "LoadBalancer", "ip_families": ("IPv4",), **spec}
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace, annotations=annotations or {}, labels=labels or {}),
        spec=ServiceSpec(ports=tuple(ServicePort(port=port) for port in ports), **spec),
        status=ServiceStatus(
            load_balancer=LoadBalancerStatus(ingress=tuple(LoadBalancerIngress(ip=ip) for ip in status))
        ),
    )


def pool(name: str, *ranges: str, **spec: Any) -> AddressPool:
    return AddressPool(metadata=ObjectMeta(name=name), spec=AddressPoolSpec(ranges=ranges, **spec))


def namespace(name: str, **labels: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name, labels=labels))


def node(name: str, *addresses: str, pods: tuple[str, ...] = ()) -> Node:
    entries = tuple(NodeAddress(type="InternalIP", address=address) for address in addresses)
    return Node(metadata=ObjectMeta(name=name), spec=NodeSpec(pod_cidrs=pods), status=NodeStatus(addresses=entries))


def allocated(*objects: Any, options: AllocationOptions = OPTIONS) -> Allocation:
    return allocate(Cluster.of(*objects), options)


def addresses(allocation: Allocation) -> dict[str, str]:
    return {
        key.removeprefix("default/"): " ".join(map(str, each.addresses)) for key, each in allocation.assignments.items()
    }


def problems(allocation: Allocation) -> list[str]:
    return [str(each) for each in allocation.problems]


def test_services_get_the_lowest_free_addresses_in_the_order_of_their_names() -> None:
    found = allocated(pool("p", "192.0.2.0/29"), service("b"), service("a"))
    assert addresses(found) == {"a": "192.0.2.1", "b": "192.0.2.2"}


@pytest.mark.parametrize(
    ("given_range", "first", "total"),
    [
        ("192.0.2.0/24", "192.0.2.1", 254),
        ("192.0.2.0/31", "192.0.2.0", 2),
        ("192.0.2.7/32", "192.0.2.7", 1),
        ("192.0.2.0-192.0.2.3", "192.0.2.0", 4),
        ("192.0.2.255-192.0.3.0", "192.0.2.255", 2),
    ],
)
def test_a_prefix_gives_no_network_and_no_broadcast_address_and_a_range_what_it_says(
    given_range: str, first: str, total: int
) -> None:
    found = allocated(pool("p", given_range), service("a"))
    assert addresses(found) == {"a": first}
    assert found.usage == {"p": {Family.IPV4: Usage(total=total, assigned=1)}}


def test_an_ipv6_prefix_gives_no_subnet_router_anycast_address() -> None:
    found = allocated(pool("p", "2001:db8::/64"), service("a", ip_families=("IPv6",)))
    assert addresses(found) == {"a": "2001:db8::1"}


def test_excluded_addresses_are_not_given_and_do_not_count() -> None:
    found = allocated(pool("p", "192.0.2.0/29", exclude=("192.0.2.1", "192.0.2.3-192.0.2.5")), *map(service, "abc"))
    assert addresses(found) == {"a": "192.0.2.2", "b": "192.0.2.6", "c": ""}
    assert found.usage["p"][Family.IPV4] == Usage(total=2, assigned=2)


def test_an_address_once_given_stays() -> None:
    found = allocated(pool("p", "192.0.2.0/24"), service("a"), service("b", status=["192.0.2.1"]))
    assert addresses(found) == {"a": "192.0.2.2", "b": "192.0.2.1"}
    assert found.assignments["default/b"].is_written
    assert not found.assignments["default/a"].is_written


def test_an_address_stays_when_its_pool_goes_and_that_is_told() -> None:
    found = allocated(pool("p", "198.51.100.0/24"), service("a", status=["192.0.2.1"]))
    assert addresses(found) == {"a": "192.0.2.1"}
    (told,) = problems(found)
    assert told.startswith("Service default/a: status.loadBalancer: 192.0.2.1 lies in no pool any more: it stays")
    assert told.endswith("with strict validation no node serves it meanwhile")


def test_what_was_written_but_not_seen_yet_counts_as_given() -> None:
    cluster = Cluster.of(pool("p", "192.0.2.0/24"), service("a"), service("b"))
    first = allocate(
        cluster,
        OPTIONS,
        {"default/b": allocated(service("x", status=["192.0.2.1"])).assignments["default/x"].addresses},
    )
    assert addresses(first) == {"a": "192.0.2.2", "b": "192.0.2.1"}


def test_two_holders_of_one_address_end_with_an_address_each() -> None:
    found = allocated(pool("p", "192.0.2.0/24"), service("a", status=["192.0.2.9"]), service("b", status=["192.0.2.9"]))
    assert addresses(found) == {"a": "192.0.2.9", "b": "192.0.2.1"}
    assert problems(found) == [
        "Service default/b: status.loadBalancer: 192.0.2.9 is held by Service default/a: it gets another one"
    ]


@pytest.mark.parametrize(
    "asking",
    [
        {"load_balancer_ip": "192.0.2.77"},
        {"annotations": {"birdctl.io/loadbalancer-ips": "192.0.2.77"}},
        {"annotations": {"birdctl.io/loadbalancer-ips": "192.0.2.77"}, "load_balancer_ip": "192.0.2.78"},
    ],
)
def test_a_requested_address_is_given_also_from_a_pool_that_assigns_nothing_by_itself(asking: dict[str, Any]) -> None:
    found = allocated(pool("p", "192.0.2.0/24", auto_assign=False), service("a", **asking))
    assert addresses(found) == {"a": "192.0.2.77"}


def test_a_request_is_heard_before_others_take_the_address() -> None:
    found = allocated(pool("p", "192.0.2.0/24"), service("a"), service("b", load_balancer_ip="192.0.2.1"))
    assert addresses(found) == {"a": "192.0.2.2", "b": "192.0.2.1"}


def test_another_request_moves_a_service() -> None:
    found = allocated(pool("p", "192.0.2.0/24"), service("a", status=["192.0.2.1"], load_balancer_ip="192.0.2.5"))
    assert addresses(found) == {"a": "192.0.2.5"}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("192.0.2.1", "the requested 192.0.2.1 is held by Service default/holder"),
        ("198.51.100.1", "the requested 198.51.100.1 lies in no pool that it may have addresses of"),
        ("192.0.2.0", "the requested 192.0.2.0 lies in no pool that it may have addresses of"),
        ("192.0.2.9", "the requested 192.0.2.9 is held by Node n1 (its own address)"),
        ("192.0.2.8", "the requested 192.0.2.8 is held by Service default/external (an external IP)"),
        ("2001:db8::1", "2001:db8::1 is not of the families of the Service (IPv4)"),
        ("192.0.2", "'192.0.2' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_a_request_that_cannot_be_met_is_told(request_: str, expected: str) -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"),
        node("n1", "192.0.2.9"),
        service("external", type="ClusterIP", external_ips=("192.0.2.8",)),
        service("holder", status=["192.0.2.1"]),
        service("a", load_balancer_ip=request_),
    )
    assert [each for each in problems(found) if expected in each and each.startswith("Service default/a: ")]


def test_of_two_requested_addresses_of_a_family_the_first_counts_and_the_other_is_told() -> None:
    asking = {"birdctl.io/loadbalancer-ips": "192.0.2.7, 2001:db8::7, 192.0.2.8"}
    found = allocated(pool("p", "192.0.2.0/24", "2001:db8::/64"), service("a", annotations=asking, ip_families=BOTH))
    assert addresses(found) == {"a": "192.0.2.7 2001:db8::7"}
    (told,) = problems(found)
    assert "192.0.2.8 is a second IPv4 address: the first, 192.0.2.7, counts" in told


def test_pools_choose_by_namespace_and_by_label() -> None:
    found = allocated(
        namespace("default", team="x"),
        namespace("other", team="y"),
        pool("p", "192.0.2.0/24", namespace_selector=LabelSelector(match_labels={"team": "y"})),
        pool("q", "198.51.100.0/24", service_selector=LabelSelector(match_labels={"tier": "web"})),
        service("a", labels={"tier": "web"}),
        service("b"),
        service("c", namespace="other"),
    )
    assert addresses(found) == {"a": "198.51.100.1", "b": "", "other/c": "192.0.2.1"}
    (told,) = problems(found)
    assert told.startswith("Service default/b: status.loadBalancer: no pool gives it IPv4 addresses: see the pools'")


def test_a_service_can_name_its_pool() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"),
        pool("q", "198.51.100.0/24", auto_assign=False),
        service("a", annotations={"birdctl.io/address-pool": "q"}),
    )
    assert addresses(found) == {"a": "198.51.100.1"}


def test_a_service_that_names_another_pool_moves_there() -> None:
    """While one whose own pool shrinks or goes stays where it is."""
    asking = {"birdctl.io/address-pool": "q"}
    found = allocated(
        pool("p", "192.0.2.0/24"),
        pool("q", "198.51.100.0/24"),
        service("a", annotations=asking, status=["192.0.2.1"]),
        service("b", annotations=asking, status=["203.0.113.1"]),
        service("c", annotations={"birdctl.io/address-pool": "gone"}, status=["192.0.2.2"]),
    )
    assert addresses(found) == {"a": "198.51.100.1", "b": "203.0.113.1", "c": "192.0.2.2"}


def test_an_exhausted_pool_is_told_and_nobody_loses_anything() -> None:
    found = allocated(pool("p", "192.0.2.1/32"), service("a", status=["192.0.2.1"]), service("b"))
    assert addresses(found) == {"a": "192.0.2.1", "b": ""}
    assert problems(found) == ["Service default/b: status.loadBalancer: no IPv4 address is free in p: add a range"]


def test_dual_stack_gets_one_of_each_in_the_order_of_the_service() -> None:
    found = allocated(pool("p", "192.0.2.0/24", "2001:db8::/64"), service("a", ip_families=("IPv6", "IPv4")))
    assert addresses(found) == {"a": "2001:db8::1 192.0.2.1"}


def test_prefer_dual_stack_takes_what_there_is_and_require_takes_both_or_none() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"),
        service("a", ip_families=BOTH, ip_family_policy="PreferDualStack"),
        service("b", ip_families=BOTH, ip_family_policy="RequireDualStack"),
    )
    assert addresses(found) == {"a": "192.0.2.1", "b": ""}
    assert found.usage["p"][Family.IPV4].assigned == 1


def test_who_requires_both_families_and_gets_none_leaves_the_last_address_to_others() -> None:
    found = allocated(
        pool("p", "192.0.2.1/32"),
        service("a", ip_families=BOTH, ip_family_policy="RequireDualStack"),
        service("b", ip_families=BOTH, ip_family_policy="RequireDualStack"),
        service("c"),
    )
    assert addresses(found) == {"a": "", "b": "", "c": "192.0.2.1"}


def test_services_with_one_key_and_other_ports_share_an_address() -> None:
    key = {"birdctl.io/allow-shared-ip": "k"}
    found = allocated(
        pool("p", "192.0.2.0/24"),
        service("a", annotations=key, ports=[80]),
        service("b", annotations=key, ports=[443]),
        service("c", annotations=key, ports=[80]),
        service("d", annotations={"birdctl.io/allow-shared-ip": "other"}, ports=[53]),
        service("e", annotations=key, ports=[54], external_traffic_policy="Local"),
        service("f", annotations={**key, "birdctl.io/service.local": "true"}, ports=[55]),
    )
    assert addresses(found) == {
        "a": "192.0.2.1",
        "b": "192.0.2.1",
        "c": "192.0.2.2",
        "d": "192.0.2.3",
        "e": "192.0.2.4",
        "f": "192.0.2.5",
    }
    assert problems(found) == [
        f"Service default/{name}: metadata.annotations[birdctl.io/allow-shared-ip]: its traffic stays on the node it "
        "comes to: it gets an address of its own"
        for name in "ef"
    ]


@pytest.mark.parametrize(
    ("class_", "default_class", "ours"),
    [
        ("", True, True),
        ("", False, False),
        ("birdctl", False, True),
        ("kube-router", True, True),
        ("example.com/other", True, False),
    ],
)
def test_services_of_our_class_are_ours(class_: str, default_class: bool, ours: bool) -> None:
    options = AllocationOptions(loadbalancer_default_class=default_class)
    found = allocated(pool("p", "192.0.2.0/24"), service("a", load_balancer_class=class_), options=options)
    assert (found.assignments.keys() == {"default/a"}) is ours


def test_addresses_of_other_controllers_and_external_ips_are_left_alone() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"),
        service("a"),
        service("foreign", load_balancer_class="example.com/other", status=["192.0.2.1"]),
        service("external", type="ClusterIP", external_ips=("192.0.2.2",)),
    )
    assert addresses(found) == {"a": "192.0.2.3"}


def test_who_writes_the_address_of_another_service_as_an_external_ip_takes_it_from_nobody() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"),
        service("a", status=["192.0.2.1"]),
        service("b", status=["192.0.2.2"], external_ips=("192.0.2.2",)),
        service("evil", type="ClusterIP", external_ips=("192.0.2.1",)),
    )
    assert addresses(found) == {"a": "192.0.2.1", "b": "192.0.2.2"}
    assert not problems(found)


def test_a_service_may_have_an_address_that_is_its_own_external_ip() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"), service("a", load_balancer_ip="192.0.2.7", external_ips=("192.0.2.7",))
    )
    assert addresses(found) == {"a": "192.0.2.7"}


def test_no_service_gets_or_keeps_an_address_of_a_node() -> None:
    found = allocated(
        pool("p", "192.0.2.0/24"), node("n1", "192.0.2.1"), service("a"), service("b", status=["192.0.2.1"])
    )
    assert addresses(found) == {"a": "192.0.2.2", "b": "192.0.2.3"}
    assert problems(found) == [
        "Service default/b: status.loadBalancer: 192.0.2.1 is held by Node n1 (its own address): it gets another one"
    ]


def test_no_pool_gives_addresses_of_pods_and_that_is_told() -> None:
    """The node that has the pods would never see the packets of others."""
    options = AllocationOptions(loadbalancer_ip_range=(parse_prefix("192.0.2.16/30"),))
    pods = node("n1", pods=("192.0.2.0/29", "192.0.2.16/31"))
    found = allocated(pods, pool("a", "192.0.2.6-192.0.2.9"), *map(service, "abcd"), options=options)
    assert addresses(found) == {"a": "192.0.2.8", "b": "192.0.2.9", "c": "192.0.2.18", "d": ""}
    assert [text.partition(":")[0] for text in problems(found)[:2]] == ["AddressPool a", "--loadbalancer-ip-range"]
    assert "192.0.2.16/30 overlaps pod CIDR 192.0.2.16/31 of Node n1" in problems(found)[1]


def test_the_range_of_the_settings_is_a_pool_after_all_others() -> None:
    options = AllocationOptions(loadbalancer_ip_range=(parse_prefix("203.0.113.0/30"),))
    found = allocated(pool("p", "192.0.2.1/32"), service("a"), service("b"), options=options)
    assert addresses(found) == {"a": "192.0.2.1", "b": "203.0.113.1"}


def test_the_range_of_the_settings_gives_no_cluster_ip() -> None:
    options = AllocationOptions(
        loadbalancer_ip_range=(parse_prefix("10.96.0.0/30"), parse_prefix("10.95.255.252/30")),
        service_cluster_ip_range=OPTIONS.service_cluster_ip_range,
    )
    found = allocated(*map(service, "abc"), options=options)
    assert addresses(found) == {"a": "10.95.255.253", "b": "10.95.255.254", "c": ""}


def test_a_pool_inside_the_range_of_cluster_ips_gives_nothing() -> None:
    found = allocated(pool("p", "10.96.8.0/24"), service("a"))
    assert addresses(found) == {"a": ""}
    assert "overlaps 10.96.0.0/12 of --service-cluster-ip-range" in problems(found)[0]


@pytest.mark.parametrize(
    ("range_", "inside"),
    [
        ("224.0.0.0/24", "224.0.0.0/4"),
        ("127.0.0.1-127.0.0.9", "127.0.0.0/8"),
        ("fe80::/64", "fe80::/10"),
        ("::/96", "::/127"),
    ],
)
def test_a_pool_of_addresses_that_no_host_has_gives_nothing(range_: str, inside: str) -> None:
    found = allocated(pool("p", range_), service("a", ip_families=BOTH))
    assert addresses(found) == {"a": ""}
    assert f"overlaps {inside}: nobody reaches a host there" in problems(found)[0]


POOLS = (pool("p", "192.0.2.0/29"), pool("q", "2001:db8::/125", "192.0.2.4-192.0.2.9", auto_assign=False))
SERVICES = st.lists(
    st.builds(
        service,
        st.sampled_from("abcdefgh"),
        ip_families=st.sampled_from([("IPv4",), ("IPv6",), BOTH]),
        ip_family_policy=st.sampled_from(["", "RequireDualStack"]),
        status=st.lists(st.sampled_from(["192.0.2.1", "192.0.2.5", "2001:db8::1"]), max_size=2),
        load_balancer_ip=st.sampled_from(["", "192.0.2.5", "2001:db8::3"]),
        annotations=st.sampled_from([{}, {"birdctl.io/address-pool": "q"}, {"birdctl.io/allow-shared-ip": "k"}]),
        ports=st.lists(st.sampled_from([80, 443]), min_size=1, unique=True),
    ),
    unique_by=lambda each: each.key,
)


@given(SERVICES, st.randoms())
def test_no_address_is_given_twice_and_the_order_of_objects_is_nothing(
    services: list[Service], shuffled: random.Random
) -> None:
    found = allocated(*POOLS, *services)
    others = [*services]
    shuffled.shuffle(others)
    again = allocated(*POOLS, *others)
    assert (again.assignments, again.usage, problems(again)) == (found.assignments, found.usage, problems(found))
    holders: dict[Any, list[Service]] = {}
    for each in found.assignments.values():
        for address in each.addresses:
            holders.setdefault(address, []).append(each.service)
    for sharing in holders.values():
        ports = [port.port for each in sharing for port in each.spec.ports]
        assert len(ports) == len(set(ports))


@given(SERVICES)
def test_what_was_given_is_given_again(services: list[Service]) -> None:
    first = allocated(*POOLS, *services)
    given_ = {key: each.addresses for key, each in first.assignments.items()}
    again = allocate(Cluster.of(*POOLS, *services), OPTIONS, given_)
    assert addresses(again) == addresses(first)
