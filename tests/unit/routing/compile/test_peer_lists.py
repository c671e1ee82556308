"""External peers from the settings and from the node's annotations."""

from __future__ import annotations

import base64
import ipaddress

import pytest

from birdctl.routing.model import Bfd, NextHopSelf
from birdctl.secret import Secret
from tests.unit.routing.build import bgp_configuration, bgp_peer, compiled, node, originated, problems, sessions
from tests.unit.routing.walk import exports, imports


def encoded(password):
    return base64.b64encode(password.encode()).decode()


def annotated(*objects, options=None, **annotations):
    """Node a with these annotations; `_` in a name stands for a dot."""
    named = {key.replace("_", "."): text for key, text in annotations.items()}
    own = node("a", "10.0.0.1", "fd00::1", pods="10.1.0.0/24", annotations=named)
    return compiled(own, *objects, **(options or {}))


def flags(*addresses, asns, **options):
    ips = tuple(ipaddress.ip_address(text) for text in addresses)
    return {"peer_router_ips": ips, "peer_router_asns": asns, **options}


def test_the_settings_name_peers_of_every_node():
    options = flags(
        "10.0.0.8",
        "fd00::9",
        asns=(65001, 65002),
        peer_router_ports=(1790, None),
        peer_router_passwords=(None, Secret("geheim")),
    )

    found = sessions(annotated(options=options))
    assert set(found) == {"10.0.0.8", "fd00::9"}
    assert [(each.remote_asn, each.port) for each in found.values()] == [(65001, 1790), (65002, 179)]
    assert found["10.0.0.8"].password is None
    assert found["fd00::9"].password == Secret("geheim")
    assert {each.origin for each in found.values()} == {"--peer-router-ips"}


def test_the_settings_options_hold_for_their_peers():
    options = flags("10.0.0.8", asns=(65001,), peer_router_multihop_ttl=2, enable_bfd=True, override_nexthop=True)

    session = sessions(annotated(options=options))["10.0.0.8"]
    assert session.multihop == 2
    assert session.bfd == Bfd(min_tx=1000, min_rx=1000, multiplier=3)
    assert session.channels[0].next_hop_self is NextHopSelf.ALL


@pytest.mark.parametrize("ttl", [0, 1])
def test_multihop_begins_at_two(ttl):
    options = flags("10.0.0.8", asns=(65001,), peer_router_multihop_ttl=ttl)

    assert sessions(annotated(options=options))["10.0.0.8"].multihop is None


def test_peers_of_the_settings_stand_in_for_those_of_the_annotations():
    result = annotated(options=flags("10.0.0.8", asns=(65001,)), peer_ips="10.0.0.9", peer_asns="65002")

    assert set(sessions(result)) == {"10.0.0.8"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"asns": (1, 2)}, "--peer-router-ips: --peer-router-asns: 2 entries for 1 addresses"),
        ({"asns": ()}, "--peer-router-ips: --peer-router-asns: 0 entries for 1 addresses"),
        ({"asns": (1,), "peer_router_ports": (1, 2)}, "--peer-router-ips: --peer-router-ports: 2 entries"),
        ({"asns": (23456,)}, "--peer-router-ips: --peer-router-asns: 23456 is a reserved ASN"),
        (
            {"asns": (1,), "peer_router_passwords": (Secret('a"b'),)},
            "--peer-router-passwords: the password has a quote",
        ),
    ],
)
def test_settings_that_do_not_fit_together_make_no_peer(more, problem):
    result = annotated(options=flags("10.0.0.8", **more))

    assert sessions(result) == {}
    assert problem in problems(result)[0]


def test_flat_lists_of_annotations():
    result = annotated(
        peer_ips="10.0.0.8,10.0.0.9",
        peer_asns="65001, 65002",
        peer_ports=",1790",
        peer_passwords=f"{encoded('geheim')},",
        peer_localips="192.168.0.1,",
    )

    first, second = sessions(result)["10.0.0.8"], sessions(result)["10.0.0.9"]
    assert (first.port, first.password, str(first.local_address)) == (179, Secret("geheim"), "192.168.0.1")
    assert (second.port, second.password, second.local_address) == (1790, None, None)
    assert second.origin == "Node a"


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        ({"peer_asns": "65001"}, "peer.asns]: 1 entries for 2 addresses"),
        ({}, "every peer needs an address and an ASN"),
        ({"peer_asns": "65001,65002", "peer_ports": "179"}, "peer.ports]: 1 entries for 2 addresses"),
        ({"peer_asns": "65001,65002", "peer_passwords": "a,b,c"}, "peer.passwords]: 3 entries for 2 addresses"),
    ],
)
def test_lists_of_different_lengths_make_no_peer(annotations, problem):
    result = annotated(peer_ips="10.0.0.8,10.0.0.9", **annotations)

    assert sessions(result) == {}
    assert problem in problems(result)[0]


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        ({"peer_asns": "0,65002"}, "peer.asns]: 0 is not between 1 and"),
        ({"peer_asns": "x,65002"}, "peer.asns]: 'x' is not a number"),
        ({"peer_asns": "65001,65002", "peer_ports": "99999,179"}, "peer.ports]: 99999 is not between"),
        ({"peer_asns": "65001,65002", "peer_passwords": "!,"}, "peer.passwords]: the password is not base64"),
        ({"peer_asns": "65001,65002", "peer_localips": "fd00::1,"}, "are of different families"),
    ],
)
def test_a_bad_entry_is_one_problem_and_the_others_count(annotations, problem):
    result = annotated(peer_ips="10.0.0.8,10.0.0.9", **annotations)

    assert set(sessions(result)) == {"10.0.0.9"}
    assert len(problems(result)) == 1
    assert problem in problems(result)[0]


def test_the_yaml_form():
    document = f"""
    - remoteip: 10.0.0.8
      remoteasn: 65001
      password: {encoded("geheim")}
      localip: 192.168.0.1
      port: 1790
      bfd: {{enabled: true, desired_min_tx_interval: 300, detection_multiplier: 5}}
    - {{remoteip: "fd00::9", remoteasn: "65002"}}
    """

    found = sessions(annotated(peers=document))
    first, second = found["10.0.0.8"], found["fd00::9"]
    assert (first.port, first.password, str(first.local_address)) == (1790, Secret("geheim"), "192.168.0.1")
    assert first.bfd == Bfd(min_tx=300, min_rx=1000, multiplier=5)
    assert (second.port, second.password, second.bfd) == (179, None, None)


def test_kube_routers_annotations_are_read_too():
    own = node("a", "10.0.0.1", annotations={"kube-router.io/peers": "[{remoteip: 10.0.0.8, remoteasn: 65001}]"})

    assert set(sessions(compiled(own))) == {"10.0.0.8"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "peers]: is not a YAML list of peers"),
        ("remoteip: 10.0.0.8", "peers]: is not a YAML list of peers"),
        ("[10.0.0.8]", "peers][0]: expected a mapping with remoteip and remoteasn"),
        ("[{remoteip: 10.0.0.8}]", "peers][0]: every peer needs an address and an ASN"),
        ("[{remoteip: 10.0.0.8, remoteasn: 65001, color: red}]", "peers][0].color: unknown field"),
        (
            "[{remoteip: 10.0.0.8, remoteasn: 65001, bfd: {port: 3785}}]",
            "peers][0].bfd.port: BIRD has BFD on port 3784",
        ),
        ("[{remoteip: 10.0.0.8, remoteasn: 65001, bfd: on}]", "peers][0].bfd: expected a mapping"),
        ("[{remoteip: 10.0.0.8, remoteasn: 0}]", "peers][0].remoteasn: 0 is not between"),
        ("[{remoteip: 10.0.0.1, remoteasn: 65001}]", "peers][0]: 10.0.0.1 is an address of Node a itself"),
    ],
)
def test_a_bad_document_is_reported_with_its_place(document, problem):
    result = annotated(peers=document)

    assert sessions(result) == {}
    assert problem in problems(result)[0]


def test_an_object_comes_before_a_list_in_a_dispute_about_an_address():
    result = annotated(bgp_peer("tor1", "10.0.0.8"), peer_ips="10.0.0.8", peer_asns="65002")

    assert set(sessions(result)) == {"tor1"}
    assert "10.0.0.8 is the neighbour of BGPPeer tor1 already" in problems(result)[0]


def test_two_peers_of_one_name_are_one_session_and_a_report():
    result = annotated(bgp_peer("10.0.0.8", "10.0.0.9"), peer_ips="10.0.0.8", peer_asns="65002")

    assert [str(each.address) for each in result.config.sessions] == ["10.0.0.9"]
    assert "BGPPeer 10.0.0.8 has this name already" in problems(result)[0]


def test_what_the_cluster_allows_and_advertises_holds_for_listed_peers():
    configuration = bgp_configuration(advertise={"podCIDRs": True}, **{"import": {"allow": [{"prefix": "0.0.0.0/0"}]}})
    result = annotated(configuration, peer_ips="10.0.0.8", peer_asns="65001")

    assert imports(result, "10.0.0.8", "0.0.0.0/0")
    assert exports(result, "10.0.0.8", "10.1.0.0/24") is not None


def test_pod_cidrs_can_be_kept_from_external_peers_by_the_settings():
    """kube-router sends them to everybody when its primary address is IPv6 (D8)."""
    own = node("a", "fd00::1", pods="fd00:1::/64")
    result = compiled(own, bgp_peer("tor1", "fd00::9"), advertise_pod_cidr=False)

    assert originated(result) == {"pods6": ["fd00:1::/64"]}
    assert exports(result, "tor1", "fd00:1::/64") is None
