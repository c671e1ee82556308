"""The full mesh, from Node objects alone."""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.routing.model import NextHopSelf, PeerType
from tests.unit.routing.build import bgp_configuration, compiled, filters, node, nodes, originated, problems, sessions
from tests.unit.routing.walk import exports, imports


def test_every_node_peers_with_every_other_without_any_configuration():
    result = compiled(*nodes(4), on="n1")

    assert set(sessions(result)) == {"n0", "n2", "n3"}
    assert all(each.type is PeerType.MESH for each in result.config.sessions)
    assert all(each.local_asn == each.remote_asn == 64512 for each in result.config.sessions)
    assert problems(result) == []


def test_both_ends_of_a_pair_agree_on_addresses_and_who_connects():
    cluster = nodes(3)

    for one, other in (("n0", "n1"), ("n2", "n1"), ("n0", "n2")):
        here, there = sessions(compiled(*cluster, on=one))[other], sessions(compiled(*cluster, on=other))[one]
        assert (here.address, here.local_address) == (there.local_address, there.address)
        assert here.passive is not there.passive
        assert here.passive is (here.local_address > here.address)


def test_the_order_of_addresses_is_numeric():
    cluster = [node("a", "10.0.0.9", pods="10.1.0.0/24"), node("b", "10.0.0.10", pods="10.1.1.0/24")]

    assert not sessions(compiled(*cluster, on="a"))["b"].passive
    assert sessions(compiled(*cluster, on="b"))["a"].passive


@pytest.mark.parametrize(
    ("mine", "theirs", "address", "families"),
    [
        (("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2"), "10.0.0.2", ["IPv4", "IPv6"]),
        (("10.0.0.1", "fd00::1"), ("10.0.0.2",), "10.0.0.2", ["IPv4"]),
        (("10.0.0.1", "fd00::1"), ("fd00::2",), "fd00::2", ["IPv6"]),
        (("fd00::1",), ("fd00::2",), "fd00::2", ["IPv6"]),
    ],
)
def test_one_session_carries_the_families_both_nodes_have(mine, theirs, address, families):
    result = compiled(node("a", *mine), node("b", *theirs))

    session = sessions(result)["b"]
    assert str(session.address) == address
    assert [channel.family for channel in session.channels] == families


def test_ipv6_over_an_ipv4_session_has_the_nodes_own_ipv6_next_hop():
    ipv4, ipv6 = sessions(compiled(*nodes(2), on="n0"))["n1"].channels

    assert ipv4.next_hop_address is None
    assert str(ipv6.next_hop_address) == "fd00::1"
    assert ipv4.next_hop_self is ipv6.next_hop_self is NextHopSelf.EBGP


def test_nodes_without_a_family_in_common_have_no_session_and_it_is_said():
    result = compiled(node("a", "10.0.0.1", pods="10.1.0.0/24"), node("b", "fd00::2"))

    assert sessions(result) == {}
    assert problems(result) == ["Node b: status.addresses: no address family in common with Node a: no session with it"]


def test_an_internal_address_comes_before_an_external_one():
    external_first = node("b", "10.0.0.2", external=("192.0.2.2",))
    external_only = node("c", external=("192.0.2.3",))

    found = sessions(compiled(node("a", "10.0.0.1"), external_first, external_only))
    assert str(found["b"].address) == "10.0.0.2"
    assert str(found["c"].address) == "192.0.2.3"


def test_a_disabled_family_is_not_routed():
    result = compiled(*nodes(2), on="n0", enable_ipv6=False)

    assert result.config.families == (Family.IPV4,)
    assert [channel.family for channel in sessions(result)["n1"].channels] == ["IPv4"]
    assert originated(result) == {"pods4": ["10.1.0.0/24"]}
    assert problems(result) == []


def test_a_node_without_a_usable_address_is_a_problem_and_no_crash():
    result = compiled(
        node("a", "10.0.0.1", pods="10.1.0.0/24"), node("b"), node("c", "not-an-address"), node("d", "10.0.0.4")
    )

    assert set(sessions(result)) == {"d"}
    assert [text.split(":")[0] for text in problems(result)] == ["Node b", "Node c", "Node c"]


def test_two_nodes_with_one_address_get_one_session():
    result = compiled(
        node("a", "10.0.0.1", pods="10.1.0.0/24"), node("b", "10.0.0.2"), node("c", "10.0.0.2"), node("d", "10.0.0.1")
    )

    assert set(sessions(result)) == {"b"}
    assert problems(result) == [
        "Node c: status.addresses: 10.0.0.2 is also an address of Node b: no session with it",
        "Node d: status.addresses: 10.0.0.1 is also an address of Node a: no session with it",
    ]


def test_pod_cidrs_of_both_families_are_originated_before_the_first_pod():
    assert originated(compiled(*nodes(1), on="n0")) == {"pods4": ["10.1.0.0/24"], "pods6": ["fd00:1::/64"]}


def test_a_node_without_pod_cidr_still_has_its_sessions():
    result = compiled(node("a", "10.0.0.1"), node("b", "10.0.0.2"))

    assert set(sessions(result)) == {"b"}
    assert originated(result) == {}
    assert problems(result) == ["Node a: spec.podCIDRs: no pod CIDR of a family that the node has an address of"]


def test_annotated_pod_cidrs_stand_in_for_those_of_the_spec():
    annotated = node(
        "a", "10.0.0.1", "fd00::1", pods="10.1.0.0/24", annotations={"pod-cidrs": "10.9.0.0/24, fd00:9::/64"}
    )

    assert originated(compiled(annotated)) == {"pods4": ["10.9.0.0/24"], "pods6": ["fd00:9::/64"]}


def test_a_pod_cidr_with_host_bits_is_reported_with_its_remedy():
    result = compiled(node("a", "10.0.0.1", pods=("10.1.0.5/24", "10.2.0.0/24")))

    assert originated(result) == {"pods4": ["10.2.0.0/24"]}
    assert problems(result) == ["Node a: spec.podCIDRs: 10.1.0.5/24 has host bits set; expected 10.1.0.0/24"]


def test_pod_cidrs_that_overlap_another_nodes_are_reported():
    result = compiled(node("a", "10.0.0.1", pods="10.1.0.0/24"), node("b", "10.0.0.2", pods="10.1.0.0/16"))

    assert problems(result) == ["Node a: spec.podCIDRs: 10.1.0.0/24 overlaps a pod CIDR of Node b"]


def test_a_missing_node_leaves_what_runs_alone():
    result = compiled(*nodes(3), on="elsewhere")

    assert not result.usable
    assert problems(result) == ["Node elsewhere: does not exist: what runs stays as it is"]


def test_a_node_that_lost_its_addresses_leaves_what_runs_alone():
    result = compiled(node("a"), node("b", "10.0.0.2"))

    assert not result.usable
    assert "no usable InternalIP or ExternalIP" in problems(result)[0]


def test_between_nodes_go_own_pods_and_what_external_peers_taught():
    result = compiled(*nodes(2), on="n0")

    assert imports(result, "n1", "10.1.1.0/24")
    assert imports(result, "n1", "203.0.113.0/24")
    assert imports(result, "n1", "0.0.0.0/0")
    assert not imports(result, "n1", "10.1.0.0/24")
    assert not imports(result, "n1", "10.1.0.128/25")
    assert not imports(result, "n1", "10.96.0.10/32")
    assert exports(result, "n1", "10.1.0.0/24") is not None
    assert exports(result, "n1", "203.0.113.0/24") is not None


@pytest.mark.parametrize("ranges", [{}, {"service_external_ip_range": ["0.0.0.0/0"]}])
def test_a_service_range_that_covers_pod_cidrs_does_not_refuse_the_pods(ranges):
    """10.96.0.0/12 is only a default: a cluster may well have its pods there."""
    cluster = [node("a", "10.0.0.1", pods="10.100.0.0/24"), node("b", "10.0.0.2", pods="10.100.1.0/24")]

    assert imports(compiled(*cluster, **ranges), "b", "10.100.1.0/24")


def test_services_do_not_go_to_other_nodes():
    shared = filters(compiled(*nodes(2), on="n0"))["mesh_out4"]

    assert [term.protocols or term.sources for term in shared.terms] == [("pods4",), ("RTS_BGP",)]


def test_no_session_between_nodes_without_ibgp():
    assert sessions(compiled(*nodes(3), on="n0", enable_ibgp=False)) == {}
    assert sessions(compiled(*nodes(3), bgp_configuration(topology="None"), on="n0")) == {}


def test_listen_addresses_are_where_both_ends_meet():
    cluster = [node("a", "10.0.0.1", annotations={"bgp-local-addresses": "192.168.0.1"}), node("b", "10.0.0.2")]

    here, there = sessions(compiled(*cluster, on="a"))["b"], sessions(compiled(*cluster, on="b"))["a"]
    assert str(here.local_address) == str(there.address) == "192.168.0.1"
    assert here.strict_bind
    assert not there.strict_bind


@pytest.mark.parametrize(
    ("addresses", "given", "router_id"),
    [
        (("10.0.0.1", "fd00::1"), "", "10.0.0.1"),
        (("10.0.0.1",), "192.0.2.7", "192.0.2.7"),
        (("fd00::1",), "192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_router_id_is_given_or_the_ipv4_address(addresses, given, router_id):
    assert compiled(node("a", *addresses), router_id=given).config.router_id == router_id


def test_an_ipv6_only_node_generates_a_router_id_of_its_own():
    ids = {compiled(node("a", f"fd00::{i:x}")).config.router_id for i in range(1, 50)}

    assert len(ids) == 49
    assert "0.0.0.0" not in ids
    assert compiled(node("a", "fd00::1"), router_id="generate").config.router_id in ids


@pytest.mark.parametrize("asn", [64512, 65534, 4200000000, 4294967294])
def test_the_cluster_asn_is_any_private_one(asn):
    assert sessions(compiled(*nodes(2), on="n0", cluster_asn=asn))["n1"].remote_asn == asn


def test_the_cluster_object_decides_before_the_settings():
    result = compiled(
        *nodes(2), bgp_configuration(asn=65000, listenPort=1179), on="n0", cluster_asn=64600, bgp_port=2179
    )

    session = sessions(result)["n1"]
    assert (session.local_asn, session.remote_asn, session.port, session.local_port) == (65000, 65000, 1179, 1179)


def test_nodes_of_one_asn_peer_and_others_do_not():
    cluster = [
        node("a", "10.0.0.1", annotations={"node.asn": "64600"}),
        node("b", "10.0.0.2", annotations={"kube-router.io/node.asn": "64600"}),
        node("c", "10.0.0.3", annotations={"node.asn": "64700"}),
    ]

    assert {name: each.local_asn for name, each in sessions(compiled(*cluster, nodes_full_mesh=False)).items()} == {
        "b": 64600
    }


def test_a_node_without_its_asn_is_named_and_the_others_go_on():
    cluster = [node("a", "10.0.0.1", annotations={"node.asn": "64600"}), node("b", "10.0.0.2")]

    result = compiled(*cluster, nodes_full_mesh=False)
    assert sessions(result) == {}
    assert any(
        text.startswith("Node b: metadata.annotations: needs the annotation birdctl.io/node.asn")
        for text in problems(result)
    )
    assert not compiled(*cluster, on="b", nodes_full_mesh=False).usable
