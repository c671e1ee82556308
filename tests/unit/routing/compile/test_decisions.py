"""Why each address of a service is announced or not: the reasons behind what a node originates."""

from __future__ import annotations

from itertools import product

import pytest

from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from tests.unit.routing.build import (
    NOW,
    VERSION,
    advertisement,
    bgp_peer,
    compiler,
    endpoints,
    node,
    originated,
    service,
)
from tests.unit.routing.compile.test_programmed_services import programmed

A, TOR = node("a", "10.0.0.1"), bgp_peer("tor1", "10.0.0.9")
ALL = {"advertise_cluster_ip": True, "advertise_external_ip": True, "service_external_ip_range": ["198.51.100.0/24"]}


def reasons(*objects, **options):
    """`address: reason`, or the rules that ask for it."""
    found = compiler("a", **options).decisions(Cluster.of(A, TOR, *objects), "default/web", now=NOW)
    return {str(each.address): each.reason or sorted(each.rules) for each in found}


@pytest.mark.parametrize(
    ("objects", "options", "reason"),
    [
        ([service("web")], {}, "no BGPAdvertisement, annotation or default asks for its ClusterIP"),
        (
            [service("web", annotations={"service.advertise.clusterip": "false"})],
            ALL,
            "no BGPAdvertisement, annotation or default asks for its ClusterIP",
        ),
        ([service("web", "fd00:96::1"), endpoints("web", family="IPv6")], ALL, "this node has no IPv6 address"),
        ([service("web")], ALL, "no endpoint is ready"),
        ([service("web"), endpoints("web", ready=False)], ALL, "no endpoint is ready"),
        (
            [service("web", internalTrafficPolicy="Local"), endpoints("web", on="b")],
            ALL,
            "no endpoint on this node is ready, and its traffic stays local",
        ),
        ([service("web"), endpoints("web")], {**ALL, "only_programmed": True}, "this node does not serve it yet"),
        ([service("web"), endpoints("web")], ALL, [""]),
        ([service("web"), endpoints("web"), advertisement("all", addresses=["ClusterIP"])], ALL, ["", "all"]),
        (
            [service("web"), endpoints("web"), programmed(serving=["10.96.0.1"])],
            {**ALL, "only_programmed": True},
            [""],
        ),
    ],
)
def test_each_address_has_its_rules_or_a_reason(objects, options, reason):
    assert list(reasons(*objects, **options).values()) == [reason]


def test_strict_validation_is_a_reason():
    found = reasons(service("web", external=("203.0.113.1",)), endpoints("web"), **ALL)
    assert found["203.0.113.1"] == "203.0.113.1 lies in none of --service-external-ip-range"


def test_a_service_without_addresses_or_that_is_not_there_has_nothing_to_decide():
    assert reasons(service("web", "None"), **ALL) == {}
    assert reasons(service("other"), **ALL) == {}


def test_a_node_that_cannot_be_configured_says_why():
    with pytest.raises(InputError, match="Node a: does not exist"):
        compiler("a").decisions(Cluster.of(service("web")), "default/web", now=NOW)


@pytest.mark.parametrize(
    ("policy", "ready", "on", "serving", "strict"),
    list(product(("Cluster", "Local"), (True, False), "ab", ([], ["10.96.0.1", "198.51.100.1"]), (True, False))),
)
def test_what_has_no_reason_is_what_is_originated(policy, ready, on, serving, strict):
    web = service(
        "web",
        external=("198.51.100.1", "203.0.113.1"),
        internalTrafficPolicy=policy,
        externalTrafficPolicy=policy,
    )
    objects = Cluster.of(A, TOR, web, endpoints("web", on=on, ready=ready), programmed(serving=serving))
    compiling = compiler("a", **ALL, only_programmed=True, strict_external_ip_validation=strict)
    found = originated(compiling.compile(objects, version=VERSION, now=NOW))
    announced = {prefix for name, prefixes in found.items() if name.startswith("services") for prefix in prefixes}
    decided = compiling.decisions(objects, "default/web", now=NOW)
    assert {f"{each.address}/32" for each in decided if not each.reason} == announced
