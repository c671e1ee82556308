"""What external peers are sent, and with which attributes."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.routing.build import (
    advertisement,
    bgp_configuration,
    bgp_peer,
    compiled,
    endpoints,
    filters,
    node,
    originated,
    problems,
    service,
    sessions,
)
from tests.unit.routing.walk import exports

A = node("a", "10.0.0.1", pods="10.1.0.0/24")
WEB = [service("web", "10.96.0.1"), endpoints("web")]
POD, VIP = "10.1.0.0/24", "10.96.0.1/32"


def cluster(*objects, **options):
    return compiled(A, *WEB, bgp_peer("tor1", "10.0.0.8"), bgp_peer("tor2", "10.0.0.9", 65002), *objects, **options)


def rule(name, **spec):
    return advertisement(name, addresses=["ClusterIP"], **spec)


def test_export_to_external_peers_is_denied_by_default():
    result = cluster()

    assert exports(result, "tor1", POD) is not None
    assert exports(result, "tor1", VIP) is None
    assert exports(result, "tor1", "203.0.113.0/24") is None
    assert exports(result, "tor1", "0.0.0.0/0") is None
    assert exports(result, "tor1", "10.1.1.0/24") is None


@pytest.mark.parametrize(
    ("peer", "configuration", "option", "sent"),
    [
        (None, None, True, True),
        (None, None, False, False),
        (None, False, True, False),
        (None, True, False, True),
        (False, True, True, False),
        (True, False, False, True),
    ],
)
def test_pod_cidrs_by_peer_before_cluster_before_settings(peer, configuration, option, sent):
    objects = [bgp_peer("tor1", "10.0.0.8", export={} if peer is None else {"podCIDRs": peer})]
    if configuration is not None:
        objects.append(bgp_configuration(advertise={"podCIDRs": configuration}))

    result = compiled(A, *objects, advertise_pod_cidr=option)
    assert (exports(result, "tor1", POD) is not None) is sent


def test_defaults_go_to_every_external_peer():
    result = cluster(advertise_cluster_ip=True)

    assert originated(result)["services4"] == [VIP]
    assert exports(result, "tor1", VIP) is not None
    assert exports(result, "tor2", VIP) is not None


def test_an_advertisement_goes_to_its_peers_alone():
    result = cluster(rule("web", peers=["tor2"]))

    assert originated(result)["services_web4"] == [VIP]
    assert exports(result, "tor1", VIP) is None
    assert exports(result, "tor2", VIP) is not None


def test_an_advertisement_without_peers_goes_to_all_and_with_an_empty_list_to_none():
    assert exports(cluster(rule("web")), "tor1", VIP) is not None
    assert exports(cluster(rule("web", peers=[])), "tor1", VIP) is None


def test_an_unknown_peer_is_reported_and_the_known_ones_are_served():
    result = cluster(rule("web", peers=["tor1", "tor9"]))

    assert exports(result, "tor1", VIP) is not None
    assert problems(result) == ["BGPAdvertisement web: spec.peers: there is no BGPPeer tor9"]


def test_a_peer_without_object_is_named_by_its_address():
    own = node("a", "10.0.0.1", annotations={"peer.ips": "10.0.0.7", "peer.asns": "65007"}, pods="10.1.0.0/24")
    result = compiled(own, *WEB, rule("web", peers=["10.0.0.7"]))

    assert exports(result, "10.0.0.7", VIP) is not None
    assert problems(result) == []


@pytest.mark.parametrize(
    ("text", "standard", "large"),
    [
        ("64512:100", [(64512, 100)], []),
        ("64512:1:2", [], [(64512, 1, 2)]),
        ("no-export", [(65535, 65281)], []),
        ("No_Advertise", [(65535, 65282)], []),
        ("blackhole", [(65535, 666)], []),
        ("graceful-shutdown", [(65535, 0)], []),
        ("4227858532", [(64512, 100)], []),
        ("0:0", [(0, 0)], []),
        ("4294967295:4294967295:0", [], [(4294967295, 4294967295, 0)]),
    ],
)
def test_communities_of_every_form(text, standard, large):
    attributes = exports(cluster(rule("web", communities=[text])), "tor1", VIP)

    assert list(attributes.communities) == standard
    assert list(attributes.large_communities) == large


@pytest.mark.parametrize(
    "text", ["", "1", "x", "65536:0", "0:65536", "1:2:3:4", "1:-2", "1:2:4294967296", "no-exports"][2:]
)
def test_a_community_that_cannot_be_read_leaves_the_advertisement_out(text):
    result = cluster(rule("web", communities=["no-export", text]))

    assert exports(result, "tor1", VIP) is None
    (problem,) = problems(result)
    assert problem.startswith(f"BGPAdvertisement web: spec.communities[1]: {text!r} is not a community; expected as")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"localPref": -1}, "spec.localPref: -1 is not between"),
        ({"med": 4294967296}, "spec.med: 4294967296 is not between"),
        ({"prepend": 65}, "spec.prepend: 65 is not between 0 and 64"),
        ({"prepend": -1}, "spec.prepend: -1 is not between"),
        ({"aggregationLength": {"ipv4": 0}}, "spec.aggregationLength.ipv4: 0 is not between 1 and 32"),
        ({"aggregationLength": {"ipv6": 129}}, "spec.aggregationLength.ipv6: 129 is not between 1 and 128"),
        ({"addresses": []}, "spec.addresses: expected some of"),
    ],
)
def test_a_bad_advertisement_is_reported_and_left_out(spec, problem):
    result = cluster(advertisement("web", **{"addresses": ["ClusterIP"], **spec}))

    assert exports(result, "tor1", VIP) is None
    assert f"BGPAdvertisement web: {problem}" in problems(result)[0]


def test_med_and_prepending():
    attributes = exports(cluster(rule("web", med=10, prepend=2)), "tor1", VIP)

    assert attributes.med == 10
    assert attributes.prepend == (64512, 64512)


def test_local_preference_stays_within_an_as():
    inside = bgp_peer("inside", "10.0.0.7", 64512)
    result = cluster(inside, rule("web", localPref=200, prepend=2))

    assert exports(result, "inside", VIP).local_pref == 200
    assert exports(result, "inside", VIP).prepend == ()
    assert exports(result, "tor1", VIP).local_pref is None
    assert exports(result, "tor1", VIP).prepend == (64512, 64512)


def test_several_advertisements_of_one_address_are_united():
    one = rule("one", communities=["65001:1", "no-export"], localPref=100, med=20, prepend=3)
    two = rule("two", communities=["65001:2", "1:2:3"], localPref=300, med=10, prepend=1)
    result = cluster(one, two, bgp_peer("inside", "10.0.0.7", 64512))

    attributes = exports(result, "tor1", VIP)
    assert attributes.communities == ((65001, 1), (65001, 2), (65535, 65281))
    assert attributes.large_communities == ((1, 2, 3),)
    assert attributes.med == 10
    assert attributes.prepend == (64512,)
    assert exports(result, "inside", VIP).local_pref == 300


def test_only_the_advertisements_that_go_to_a_peer_are_united_there():
    one = rule("one", communities=["65001:1"], med=5, peers=["tor1"])
    two = rule("two", communities=["65001:2"], med=10)
    result = cluster(one, two)

    assert exports(result, "tor1", VIP).communities == ((65001, 1), (65001, 2))
    assert exports(result, "tor1", VIP).med == 5
    assert exports(result, "tor2", VIP).communities == ((65001, 2),)
    assert exports(result, "tor2", VIP).med == 10


def test_an_advertisement_also_holds_for_what_is_advertised_by_default():
    result = cluster(rule("web", prepend=2, med=7, peers=["tor1"]), advertise_cluster_ip=True)

    assert exports(result, "tor1", VIP).prepend == (64512, 64512)
    assert exports(result, "tor1", VIP).med == 7
    assert exports(result, "tor2", VIP).prepend == ()


def test_communities_of_cluster_node_peer_and_advertisement_add_up():
    own = node("a", "10.0.0.1", pods="10.1.0.0/24", annotations={"node.bgp.communities": "64512:2, no-peer, 1:1:1"})
    result = compiled(
        own,
        *WEB,
        bgp_configuration(communities=["64512:1"]),
        bgp_peer("tor1", "10.0.0.8", export={"communities": ["64512:3"]}),
        rule("web", communities=["64512:4"]),
    )

    assert exports(result, "tor1", POD).communities == ((64512, 1), (64512, 2), (64512, 3), (65535, 65284))
    assert exports(result, "tor1", POD).large_communities == ((1, 1, 1),)
    assert (64512, 4) in exports(result, "tor1", VIP).communities


def test_a_bad_community_of_a_node_is_one_problem_and_the_others_count():
    own = node("a", "10.0.0.1", pods="10.1.0.0/24", annotations={"node.bgp.communities": "64512:2,x"})
    result = compiled(own, bgp_peer("tor1", "10.0.0.8"))

    assert exports(result, "tor1", POD).communities == ((64512, 2),)
    assert "'x' is not a community" in problems(result)[0]


def test_prepending_by_peer_advertisement_and_node_adds_up():
    own = node(
        "a", "10.0.0.1", pods="10.1.0.0/24", annotations={"path-prepend.as": "65099", "path-prepend.repeat-n": "2"}
    )
    peer = bgp_peer("tor1", "10.0.0.8", localASN=65100, export={"prepend": 1, "med": 50})
    result = compiled(own, *WEB, peer, rule("web", prepend=1))

    assert exports(result, "tor1", POD).prepend == (65100, 65099, 65099)
    assert exports(result, "tor1", VIP).prepend == (65100, 65100, 65099, 65099)
    assert exports(result, "tor1", VIP).med == exports(result, "tor1", POD).med == 50


@pytest.mark.parametrize(
    "annotations", [{"path-prepend.as": "65099"}, {"path-prepend.as": "65099", "path-prepend.repeat-n": "x"}]
)
def test_half_a_path_prepend_is_reported_and_prepends_nothing(annotations):
    own = node("a", "10.0.0.1", pods="10.1.0.0/24", annotations=annotations)
    result = compiled(own, bgp_peer("tor1", "10.0.0.8"))

    assert exports(result, "tor1", POD).prepend == ()
    assert "path-prepend" in problems(result)[0]


def test_addresses_can_be_announced_as_a_whole():
    services = [service(f"s{i}", f"10.96.0.{i}") for i in range(4)]
    slices = [endpoints(f"s{i}") for i in range(4)]
    result = compiled(A, *services, *slices, rule("web", aggregationLength={"ipv4": 24}))

    assert originated(result)["services_web4"] == ["10.96.0.0/24"]


def test_different_aggregations_of_one_address_go_out_beside_each_other():
    result = cluster(rule("wide", aggregationLength={"ipv4": 24}, med=1), rule("exact", med=2))

    assert exports(result, "tor1", "10.96.0.0/24").med == 1
    assert exports(result, "tor1", VIP).med == 2


def test_the_first_service_of_an_advertisement_changes_no_filter():
    without = compiled(A, bgp_peer("tor1", "10.0.0.8"), rule("web"))
    with_one = compiled(A, bgp_peer("tor1", "10.0.0.8"), rule("web"), *WEB)

    assert filters(without) == filters(with_one)
    assert sessions(without) == sessions(with_one)


def test_the_order_of_objects_does_not_matter():
    objects = [A, *WEB, bgp_peer("tor1", "10.0.0.8"), rule("one", med=1), rule("two", med=2), node("b", "10.0.0.2")]

    results = {compiled(*order).config for order in itertools.islice(itertools.permutations(objects), 0, 5040, 97)}
    assert len(results) == 1
