"""Which service addresses a node originates."""

from __future__ import annotations

import pytest

from tests.unit.routing.build import (
    advertisement,
    bgp_configuration,
    bgp_peer,
    compiled,
    endpoints,
    namespace,
    node,
    originated,
    pool,
    problems,
    service,
)

A = node("a", "10.0.0.1", "fd00::1")
TOR = bgp_peer("tor1", "10.0.0.9")
EVERYTHING = {"advertise_cluster_ip": True, "advertise_external_ip": True, "advertise_loadbalancer_ip": True}
RANGES = {
    "service_external_ip_range": ["198.51.100.0/24", "2001:db8:e::/64"],
    "loadbalancer_ip_range": ["192.0.2.0/24"],
}


def announced(*objects, **options):
    """All service prefixes that node a originates."""
    found = originated(compiled(A, TOR, *objects, **{**RANGES, **options}))
    return sorted(prefix for name, prefixes in found.items() if name.startswith("services") for prefix in prefixes)


def all_kinds(**fields):
    return service("web", "10.96.0.1", external=("198.51.100.1",), ingress=("192.0.2.1",), **fields)


def test_nothing_is_advertised_by_default():
    assert announced(all_kinds(), endpoints("web")) == []


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("cluster", "10.96.0.1/32"), ("external", "198.51.100.1/32"), ("loadbalancer", "192.0.2.1/32")],
)
def test_each_kind_of_address_by_flag_annotation_and_cluster_object(kind, prefix):
    on_by_annotation = {f"service.advertise.{kind}ip": "true"}
    field = {"cluster": "clusterIPs", "external": "externalIPs", "loadbalancer": "loadBalancerIPs"}[kind]

    assert announced(all_kinds(), endpoints("web"), **{f"advertise_{kind}_ip": True}) == [prefix]
    assert announced(all_kinds(annotations=on_by_annotation), endpoints("web")) == [prefix]
    assert announced(all_kinds(), endpoints("web"), bgp_configuration(advertise={field: True})) == [prefix]


@pytest.mark.parametrize("group", ["birdctl.io", "kube-router.io"])
@pytest.mark.parametrize("kind", ["clusterip", "externalip", "loadbalancerip"])
def test_an_annotation_takes_an_address_out_of_every_rule(group, kind):
    out = all_kinds(annotations={f"{group}/service.advertise.{kind}": "false"})
    rule = advertisement("all", addresses=["ClusterIP", "ExternalIP", "LoadBalancerIP"])

    assert len(announced(out, endpoints("web"), rule, **EVERYTHING)) == 2


def test_an_annotation_that_is_neither_true_nor_false_is_false_and_reported():
    unclear = all_kinds(annotations={"service.advertise.clusterip": "maybe"})

    assert announced(unclear, endpoints("web"), advertise_cluster_ip=True) == []
    assert problems(compiled(A, unclear, endpoints("web"), advertise_cluster_ip=True))[-1] == (
        "Service default/web: metadata.annotations[birdctl.io/service.advertise.clusterip]: "
        "'maybe' is neither true nor false"
    )


def test_both_families_of_a_service():
    dual = service("web", ("10.96.0.1", "fd00:96::1"))
    slices = [endpoints("web"), endpoints("web", slice_name="web-6", family="IPv6")]

    assert announced(dual, *slices, advertise_cluster_ip=True) == ["10.96.0.1/32", "fd00:96::1/128"]


def test_a_family_without_endpoints_is_not_announced():
    dual = service("web", ("10.96.0.1", "fd00:96::1"))

    assert announced(dual, endpoints("web"), advertise_cluster_ip=True) == ["10.96.0.1/32"]


def test_a_family_the_node_lacks_is_not_announced():
    result = compiled(
        node("a", "10.0.0.1"),
        service("web", ("10.96.0.1", "fd00:96::1")),
        endpoints("web"),
        endpoints("web", slice_name="web-6", family="IPv6"),
        advertise_cluster_ip=True,
    )
    assert originated(result) == {"services4": ["10.96.0.1/32"]}


@pytest.mark.parametrize(
    "nameless",
    [
        service("web", "None"),
        service("web", ""),
        service("web", "None", external=("198.51.100.1",)),
        service("web", type="ExternalName"),
        service("web", labels={"service.kubernetes.io/headless": ""}),
    ],
)
def test_headless_services_and_mere_names_have_no_address(nameless):
    assert announced(nameless, endpoints("web"), **EVERYTHING) == []


@pytest.mark.parametrize(
    ("ingress", "prefixes"),
    [
        ({"ip": "192.0.2.1"}, ["192.0.2.1/32"]),
        ({"ip": "192.0.2.1", "ipMode": "VIP"}, ["192.0.2.1/32"]),
        ({"ip": "192.0.2.1", "ipMode": "Proxy"}, []),
        ({"hostname": "lb.example.net"}, []),
    ],
)
def test_which_ingress_points_are_addresses_of_ours(ingress, prefixes):
    assert announced(service("web", ingress=(ingress,)), endpoints("web"), advertise_loadbalancer_ip=True) == prefixes


def test_the_presence_of_skiplbips_is_enough():
    skipped = service("web", ingress=("192.0.2.1",), annotations={"kube-router.io/service.skiplbips": ""})

    assert announced(skipped, endpoints("web"), advertise_loadbalancer_ip=True) == []


@pytest.mark.parametrize(
    ("slices", "advertised"),
    [
        ([], False),
        ([endpoints("web", on=())], False),
        ([endpoints("web", ready=False)], False),
        ([endpoints("web", ready=None)], True),
        ([endpoints("web", ready=True)], True),
        ([endpoints("web", on="b")], True),
        ([endpoints("web", ready=False), endpoints("web", slice_name="web-2", on="b")], True),
        ([endpoints("web", ending=True)], True),
        ([endpoints("web", ending=False)], False),
        ([endpoints("web", family="FQDN")], False),
        ([endpoints("other")], False),
        ([endpoints("web", namespace="other")], False),
    ],
)
def test_a_service_needs_an_endpoint_anywhere_that_is_ready_or_serves_to_its_end(slices, advertised):
    assert bool(announced(service("web"), *slices, advertise_cluster_ip=True)) is advertised


@pytest.mark.parametrize(
    ("slices", "advertised"),
    [
        ([endpoints("web", on="a")], True),
        ([endpoints("web", on="b")], False),
        ([endpoints("web", on=("b", "a"))], True),
        ([endpoints("web", on="b"), endpoints("web", slice_name="web-2", on="a")], True),
        ([endpoints("web", on="a", ready=False), endpoints("web", slice_name="web-2", on="b")], False),
        ([endpoints("web", on="a", ending=True), endpoints("web", slice_name="web-2", on="b")], False),
    ],
)
@pytest.mark.parametrize("how", [{"externalTrafficPolicy": "Local"}, {"annotations": {"service.local": "true"}}])
def test_a_local_traffic_policy_needs_a_ready_endpoint_on_this_node(how, slices, advertised):
    """kube-router does not look at readiness here (D13)."""
    local = service("web", external=("198.51.100.1",), ingress=("192.0.2.1",), **how)

    found = announced(local, *slices, advertise_external_ip=True, advertise_loadbalancer_ip=True)
    assert found == (["192.0.2.1/32", "198.51.100.1/32"] if advertised else [])


def test_the_external_policy_does_not_govern_cluster_ips_nor_the_internal_one_the_others():
    elsewhere = endpoints("web", on="b")

    assert announced(all_kinds(externalTrafficPolicy="Local"), elsewhere, **EVERYTHING) == ["10.96.0.1/32"]
    assert announced(all_kinds(internalTrafficPolicy="Local"), elsewhere, **EVERYTHING) == [
        "192.0.2.1/32",
        "198.51.100.1/32",
    ]


def test_unready_endpoints_count_when_the_service_asks_for_it():
    asking = service("web", publishNotReadyAddresses=True)

    assert announced(asking, endpoints("web", ready=False), advertise_cluster_ip=True) == ["10.96.0.1/32"]
    assert announced(asking, advertise_cluster_ip=True) == []


def test_services_without_endpoints_are_announced_when_the_settings_ask_for_it():
    options = {"advertise_cluster_ip": True, "advertise_external_ip": True, "advertise_without_endpoints": True}
    local = service("web", external=("198.51.100.1",), externalTrafficPolicy="Local")

    assert announced(service("web"), **options) == ["10.96.0.1/32"]
    assert announced(local, **options) == ["10.96.0.1/32"]


def test_a_service_without_slices_takes_nothing_from_the_others():
    """In kube-router it empties the whole set (D1)."""
    others = [service(f"s{i}", f"10.96.1.{i}") for i in range(5)]
    slices = [endpoints(f"s{i}") for i in range(5)]

    assert len(announced(service("bare"), *others, *slices, advertise_cluster_ip=True)) == 5


def test_a_shared_address_stays_while_either_service_needs_it():
    """In kube-router a slice event of the one withdraws it from the other (D2)."""
    shared = {"external": ("198.51.100.1",), "externalTrafficPolicy": "Local"}
    one, other = service("one", "10.96.0.1", **shared), service("other", "10.96.0.2", **shared)

    def found(*slices):
        return announced(one, other, *slices, advertise_external_ip=True)

    assert found(endpoints("one"), endpoints("other")) == ["198.51.100.1/32"]
    assert found(endpoints("one"), endpoints("other", on="b")) == ["198.51.100.1/32"]
    assert found(endpoints("one", on="b"), endpoints("other")) == ["198.51.100.1/32"]
    assert found(endpoints("one", on="b"), endpoints("other", on="b")) == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("203.0.113.1", "203.0.113.1 lies in none of --service-external-ip-range: not advertised"),
        ("10.96.0.7", "10.96.0.7 lies in --service-cluster-ip-range: not advertised"),
        ("2001:db8::1", "2001:db8::1 lies in none of --service-external-ip-range: not advertised"),
        ("nonsense", "'nonsense' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_strict_validation_of_external_ips(address, problem):
    objects = [
        service("web", external=(address, "198.51.100.1")),
        endpoints("web"),
        endpoints("web", slice_name="web-6", family="IPv6"),
    ]

    assert announced(*objects, advertise_external_ip=True) == ["198.51.100.1/32"]
    told = problems(compiled(A, *objects, **RANGES, advertise_external_ip=True))
    assert f"Service default/web: spec.externalIPs[0]: {problem}" in told


def test_without_any_range_strict_validation_refuses_all():
    objects = [service("web", external=("198.51.100.1",)), endpoints("web")]

    assert announced(*objects, advertise_external_ip=True, service_external_ip_range=[]) == []
    lenient = {"advertise_external_ip": True, "strict_external_ip_validation": False, "service_external_ip_range": []}
    assert announced(*objects, **lenient) == ["198.51.100.1/32"]


def test_without_strict_validation_an_external_ip_may_be_any_but_a_cluster_ip():
    objects = [A, service("web", external=("203.0.113.1", "10.96.0.7")), endpoints("web")]
    result = compiled(*objects, advertise_external_ip=True, strict_external_ip_validation=False)
    assert originated(result)["services4"] == ["203.0.113.1/32"]
    assert [problem for problem in problems(result) if "spec.externalIPs[1]" in problem]


def test_load_balancer_addresses_come_from_a_range_or_a_pool():
    objects = [service("web", ingress=("203.0.113.7",)), endpoints("web")]

    assert announced(*objects, advertise_loadbalancer_ip=True) == []
    public = pool("public", "203.0.113.1-203.0.113.9")
    assert announced(*objects, public, advertise_loadbalancer_ip=True) == ["203.0.113.7/32"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"ranges": ["192.0.2.1/26"]}, "spec.ranges[0]: 192.0.2.1/26 has host bits set; expected 192.0.2.0/26"),
        ({"ranges": ["192.0.2.9-192.0.2.1"]}, "spec.ranges[0]: 192.0.2.9-192.0.2.1 ends before it begins"),
        ({"ranges": ["192.0.2.9-fd00::1"]}, "spec.ranges[0]: 192.0.2.9-fd00::1 mixes IPv4 and IPv6"),
        ({"ranges": ["192.0.2.0-"]}, "spec.ranges[0]: '' does not appear to be"),
        ({"ranges": ["public"]}, "spec.ranges[0]: 'public' does not appear to be"),
        ({"ranges": []}, "spec.ranges: expected at least one range"),
        ({"ranges": ["10.97.0.0/24"]}, "spec.ranges: 10.97.0.0/24 overlaps 10.96.0.0/12 of --service-cluster-ip-range"),
        ({"ranges": ["192.0.2.0/26"], "exclude": ["192.0.2.1/30"]}, "spec.exclude[0]: 192.0.2.1/30 has host bits set"),
    ],
)
def test_a_bad_pool_is_reported_and_left_out(spec, problem):
    spec = dict(spec)
    result = compiled(A, pool("public", *spec.pop("ranges"), **spec))

    assert any(f"AddressPool public: {problem}" in text for text in problems(result))


def test_selectors_of_services_and_namespaces():
    rule = advertisement(
        "web",
        addresses=["ClusterIP"],
        serviceSelector={"matchLabels": {"expose": "true"}},
        namespaceSelector={"matchLabels": {"team": "blue"}},
    )
    objects = [
        namespace("blue", team="blue"),
        namespace("red", team="red"),
        *(
            service("web", f"10.96.0.{i}", namespace=name, labels={"expose": "true"})
            for i, name in enumerate(("blue", "red", "none"))
        ),
        *(endpoints("web", namespace=name) for name in ("blue", "red", "none")),
        service("hidden", "10.96.0.9", namespace="blue"),
        endpoints("hidden", namespace="blue"),
    ]

    assert announced(*objects, rule) == ["10.96.0.0/32"]


def test_a_namespace_can_be_selected_by_name_without_its_object():
    rule = advertisement(
        "web", addresses=["ClusterIP"], namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    )

    assert announced(service("web"), endpoints("web"), rule) == ["10.96.0.1/32"]


def test_sources_say_what_an_address_is():
    result = compiled(A, all_kinds(), endpoints("web"), **EVERYTHING, **RANGES)

    (services,) = result.config.originated
    assert dict(zip(map(str, services.prefixes), services.sources, strict=True)) == {
        "10.96.0.1/32": "clusterIP",
        "198.51.100.1/32": "externalIP",
        "192.0.2.1/32": "loadBalancerIP",
    }
