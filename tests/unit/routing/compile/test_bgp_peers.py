"""BGPPeer objects: one session each, on the nodes they select."""

from __future__ import annotations

import pytest

from birdctl.routing.model import AddPaths, Bfd, GracefulRestart, Limit, NextHopSelf, PeerType, Timers
from tests.unit.routing.build import bgp_configuration, bgp_peer, compiled, node, problems, secret, selector, sessions

A = node("a", "10.0.0.1", "fd00::1", pods="10.1.0.0/24", labels={"rack": "a"})
B = node("b", "10.0.0.2", "fd00::2", pods="10.1.1.0/24", labels={"rack": "b"})


def tor(*objects, on="a", address="10.0.0.9", asn=65001, version=(2, 0, 12), options=None, **spec):
    """The session with BGPPeer tor1."""
    result = compiled(A, B, *objects, bgp_peer("tor1", address, asn, **spec), on=on, version=version, **(options or {}))
    assert problems(result) == []
    return sessions(result)["tor1"]


def refusal(*objects, address="10.0.0.9", asn=65001, version=(2, 0, 12), **spec):
    """What is wrong with BGPPeer tor1, which then has no session."""
    result = compiled(A, B, *objects, bgp_peer("tor1", address, asn, **spec), version=version)
    assert set(sessions(result)) == {"b"}
    assert all(text.startswith("BGPPeer tor1: ") for text in problems(result))
    return "; ".join(text.removeprefix("BGPPeer tor1: ") for text in problems(result))


def test_a_peer_is_one_session_named_after_its_object():
    session = tor()

    assert (session.name, session.peer, session.origin) == ("peer_tor1", "tor1", "BGPPeer tor1")
    assert session.type is PeerType.EXTERNAL
    assert (session.local_asn, session.remote_asn, str(session.address), session.port) == (
        64512,
        65001,
        "10.0.0.9",
        179,
    )
    assert session.multihop is None
    assert session.local_address is None


def test_only_selected_nodes_have_the_session():
    peer = bgp_peer("tor1", "10.0.0.9", nodeSelector=selector(rack="a"))

    assert "tor1" in sessions(compiled(A, B, peer, on="a"))
    assert "tor1" not in sessions(compiled(A, B, peer, on="b"))


def test_a_peer_that_selects_no_node_is_reported_on_every_node():
    peer = bgp_peer("tor1", "10.0.0.9", nodeSelector=selector(rack="z"))

    for on in ("a", "b"):
        assert problems(compiled(A, B, peer, on=on))[-1] == "BGPPeer tor1: spec.nodeSelector: selects no node"


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ({"port": 1790}, "port", 1790),
        ({"localASN": 65100}, "local_asn", 65100),
        ({"multihopTTL": 3}, "multihop", 3),
        ({"multihopTTL": 1}, "multihop", None),
        ({"ttlSecurity": True}, "ttl_security", True),
        ({"passive": True}, "passive", True),
        ({"allowASIn": 2}, "allow_as_in", 2),
        ({"timers": {"hold": "9s", "keepalive": "3s"}}, "timers", Timers(hold=9, keepalive=3)),
        ({"timers": {"hold": "9s"}}, "timers", Timers(hold=9, keepalive=3)),
        ({"timers": {"hold": "0s"}}, "timers", Timers(hold=0, keepalive=0)),
        ({"timers": {"connectRetry": "1m"}}, "timers", Timers(connect_retry=60)),
        ({"bfd": {}}, "bfd", Bfd()),
        ({"bfd": {"minTx": "50ms", "minRx": "1s", "multiplier": 5}}, "bfd", Bfd(min_tx=50, min_rx=1000, multiplier=5)),
        ({"bfd": {"enabled": False}}, "bfd", None),
        ({"gracefulRestart": {"enabled": False}}, "graceful_restart", None),
        ({"gracefulRestart": {"restartTime": "30s"}}, "graceful_restart", GracefulRestart(restart_time=30)),
        (
            {"gracefulRestart": {"longLivedStaleTime": "1h"}},
            "graceful_restart",
            GracefulRestart(long_lived_stale_time=3600),
        ),
    ],
)
def test_an_option_of_the_session(spec, field, value):
    assert getattr(tor(**spec), field) == value


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ({}, "next_hop_self", NextHopSelf.ALL),
        ({"nextHopSelf": False}, "next_hop_self", NextHopSelf.OFF),
        ({"addPaths": "Both"}, "add_paths", AddPaths.BOTH),
        ({"addPaths": "Receive"}, "add_paths", AddPaths.RECEIVE),
        ({"addPaths": "Send"}, "add_paths", AddPaths.SEND),
        ({"import": {"limit": {"prefixes": 10}}}, "import_limit", Limit(prefixes=10, action="block")),
        ({"export": {"limit": {"prefixes": 5, "action": "Warn"}}}, "export_limit", Limit(prefixes=5, action="warn")),
    ],
)
def test_an_option_of_the_channel(spec, field, value):
    (channel,) = tor(**spec).channels

    assert getattr(channel, field) == value


def test_a_multihop_session_begins_at_the_nodes_address():
    assert str(tor(multihopTTL=2).local_address) == "10.0.0.1"


def test_a_local_address_is_used():
    assert str(tor(localAddress="192.168.0.1").local_address) == "192.168.0.1"


def test_a_peer_of_our_own_asn_is_an_internal_session_over_any_distance():
    session = tor(asn=64512)

    assert session.local_asn == session.remote_asn
    assert session.multihop == 64


def test_the_peers_timers_come_before_the_clusters_and_these_before_the_settings():
    configuration = bgp_configuration(timers={"hold": "30s"})

    assert tor().timers.hold == 90
    assert tor(options={"bgp_holdtime": 60.0}).timers == Timers(hold=60, keepalive=20)
    assert tor(configuration, options={"bgp_holdtime": 60.0}).timers == Timers(hold=30, keepalive=10)
    assert tor(configuration, timers={"hold": "9s"}).timers == Timers(hold=9, keepalive=3)


def test_graceful_restart_comes_from_the_cluster_unless_the_peer_says_more():
    configuration = bgp_configuration(gracefulRestart={"restartTime": "60s", "longLivedStaleTime": "1h"})

    assert tor(configuration).graceful_restart == GracefulRestart(restart_time=60, long_lived_stale_time=3600)
    assert tor(configuration, gracefulRestart={"enabled": False}).graceful_restart is None
    assert tor(options={"bgp_graceful_restart": False}).graceful_restart is None


@pytest.mark.parametrize(
    ("address", "spec", "families", "next_hops"),
    [
        ("10.0.0.9", {}, ["IPv4"], [None]),
        ("fd00::9", {}, ["IPv6"], [None]),
        ("10.0.0.9", {"families": ["IPv4", "IPv6"]}, ["IPv4", "IPv6"], [None, "fd00::1"]),
        ("fd00::9", {"families": ["IPv6", "IPv4"]}, ["IPv4", "IPv6"], ["10.0.0.1", None]),
    ],
)
def test_the_families_of_a_session(address, spec, families, next_hops):
    channels = tor(address=address, **spec).channels

    assert [channel.family for channel in channels] == families
    assert [channel.next_hop_address and str(channel.next_hop_address) for channel in channels] == next_hops


def test_ipv4_over_a_link_local_session_has_an_ipv6_next_hop():
    session = tor(address="fe80::1", interface="eth1", families=["IPv4", "IPv6"])

    assert session.interface == "eth1"
    assert [channel.extended_next_hop for channel in session.channels] == [True, False]
    assert [channel.next_hop_address for channel in session.channels] == [None, None]


def test_a_family_the_node_lacks_is_left_out_and_a_session_without_any_refused():
    single = node("a", "10.0.0.1", pods="10.1.0.0/24")

    both = compiled(single, bgp_peer("tor1", "10.0.0.9", families=["IPv4", "IPv6"]))
    assert [channel.family for channel in sessions(both)["tor1"].channels] == ["IPv4"]
    none = compiled(single, bgp_peer("tor1", "fd00::9"))
    assert sessions(none) == {}
    assert problems(none) == ["BGPPeer tor1: spec.address: Node a has no address of IPv6"]


@pytest.mark.parametrize(
    ("version", "served"),
    [((2, 0, 12), False), ((2, 17, 5), False), ((2, 19), True), ((3, 1, 7), False), ((3, 3, 2), True)],
)
def test_unnumbered_peers_need_a_bird_that_has_them(version, served):
    if served:
        session = tor(address="", interface="eth1", version=version)
        assert (session.address, session.interface) == (None, "eth1")
        assert [channel.extended_next_hop for channel in session.channels] == [True, False]
    else:
        running = ".".join(map(str, version))
        assert refusal(address="", interface="eth1", version=version) == (
            f"spec.interface: unnumbered peers need BIRD 2.19 or 3.3; this one is {running}"
        )


def test_a_password_comes_from_its_secret():
    session = tor(secret("bgp", tor1="x'y"), passwordSecret={"name": "bgp", "key": "tor1"})

    assert session.password.reveal() == "x'y"
    assert "x'y" not in repr(session)


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ((), "spec.passwordSecret.name: Secret bgp does not exist in birdctl's namespace"),
        ((secret("bgp", namespace="default", tor1="x"),), "spec.passwordSecret.name: Secret bgp does not exist"),
        ((secret("bgp", other="x"),), "spec.passwordSecret.key: Secret birdctl-system/bgp has no key tor1"),
        ((secret("bgp", tor1=""),), "spec.passwordSecret: the password is empty"),
        ((secret("bgp", tor1='pa"ss'),), "the password has a quote or a control character"),
        ((secret("bgp", tor1="pa\x07ss"),), "the password has a quote or a control character"),
        ((secret("bgp", tor1="pass\n"),), "the password ends with a line break"),
        ((secret("bgp", tor1="x" * 81),), "the password is longer than 80 bytes"),
        ((secret("bgp", tor1=b"\xff\xfe"),), "the password is not UTF-8 text"),
    ],
)
def test_a_password_that_cannot_be_had_is_an_error_and_no_session(objects, problem):
    told = refusal(*objects, passwordSecret={"name": "bgp", "key": "tor1"})

    assert problem in told
    assert 'pa"ss' not in told


@pytest.mark.parametrize(
    ("asn", "problem"),
    [
        (0, "0 is not between 1 and 4294967295"),
        (23456, "23456 is a reserved ASN"),
        (64496, "64496 is a reserved ASN"),
        (65535, "65535 is a reserved ASN"),
        (65536, "65536 is a reserved ASN"),
        (4294967295, "4294967295 is a reserved ASN"),
        (4294967296, "4294967296 is not between"),
        (-1, "-1 is not between"),
    ],
)
def test_an_unusable_asn_is_refused(asn, problem):
    assert f"spec.asn: {problem}" in refusal(asn=asn)
    assert f"spec.localASN: {problem}" in refusal(localASN=asn)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"address": ""}, "spec.address: expected an address or an interface"),
        ({"address": "tor"}, "spec.address: 'tor' does not appear to be an IPv4 or IPv6 address"),
        ({"address": "10.0.0.0/24"}, "spec.address: '10.0.0.0/24' does not appear"),
        ({"address": "224.0.0.5"}, "spec.address: 224.0.0.5 is not the address of a host"),
        ({"address": "0.0.0.0"}, "spec.address: 0.0.0.0 is not the address of a host"),
        ({"address": "10.0.0.1"}, "spec.address: 10.0.0.1 is an address of Node a itself"),
        ({"address": "10.0.0.2"}, "spec.address: 10.0.0.2 is the neighbour of Node b already"),
        ({"address": "fe80::1"}, "spec.interface: fe80::1 is link-local and needs its interface"),
        ({"address": "fe80::1%eth0"}, "spec.address: fe80::1%eth0: give the interface in its own field"),
        ({"interface": "a/b"}, "spec.interface: 'a/b' is not an interface name"),
        ({"interface": 'e"; }'}, "is not an interface name"),
        ({"interface": "x" * 16}, "is not an interface name"),
        ({"localAddress": "fd00::1"}, "spec.localAddress: fd00::1 and 10.0.0.9 are of different families"),
        ({"localAddress": "10.0.0.2"}, "spec.localAddress: 10.0.0.2 is an address of Node b, not of Node a"),
        ({"port": 0}, "spec.port: 0 is not between 1 and 65535"),
        ({"port": 65536}, "spec.port: 65536 is not between"),
        ({"multihopTTL": 256}, "spec.multihopTTL: 256 is not between 1 and 255"),
        ({"interface": "eth1", "multihopTTL": 2}, "spec.multihopTTL: a peer on an interface is directly connected"),
        ({"timers": {"hold": "2s"}}, "spec.timers.hold: 2s is neither 0 nor at least 3s"),
        ({"timers": {"hold": "90"}}, "spec.timers.hold: '90' is not a duration"),
        ({"timers": {"hold": "1500ms"}}, "spec.timers.hold: 1500ms is not a whole number of seconds"),
        ({"timers": {"hold": "9s", "keepalive": "4s"}}, "spec.timers.keepalive: 4s is not between 1s and a third"),
        ({"timers": {"hold": "9s", "keepalive": "0s"}}, "spec.timers.keepalive: 0s is not between"),
        ({"timers": {"connectRetry": "0s"}}, "spec.timers.connectRetry: 0s is not between"),
        ({"bfd": {"minTx": "0ms"}}, "spec.bfd.minTx: 0ms is not between 1ms and 60000ms"),
        ({"bfd": {"multiplier": 0}}, "spec.bfd.multiplier: 0 is not between 1 and 255"),
        ({"gracefulRestart": {"restartTime": "4096s"}}, "spec.gracefulRestart.restartTime: 4096s is not between"),
        ({"gracefulRestart": {"longLivedStaleTime": "x"}}, "longLivedStaleTime: 'x' is not a duration"),
        ({"allowASIn": -1}, "spec.allowASIn: -1 is not between"),
        (
            {"import": {"allow": [{"prefix": "10.0.0.1/8"}]}},
            "spec.import.allow[0]: 10.0.0.1/8 has host bits set; expected 10.0.0.0/8",
        ),
        ({"import": {"allow": [{"prefix": "10.0.0.0/8", "minLength": 4}]}}, "spec.import.allow[0]: lengths 4 to 32"),
        ({"import": {"allow": [{"prefix": "10.0.0.0/8", "maxLength": 33}]}}, "spec.import.allow[0]: lengths 8 to 33"),
        ({"import": {"limit": {"prefixes": 0}}}, "spec.import.limit.prefixes: 0 is not between"),
        ({"export": {"limit": {"prefixes": -1}}}, "spec.export.limit.prefixes: -1 is not between"),
        ({"export": {"communities": ["65536:1"]}}, "spec.export.communities[0]: '65536:1' is not a community"),
        ({"export": {"prepend": 65}}, "spec.export.prepend: 65 is not between 0 and 64"),
        ({"export": {"med": -1}}, "spec.export.med: -1 is not between"),
    ],
)
def test_a_bad_value_is_reported_on_its_field_and_never_rendered(spec, problem):
    assert problem in refusal(**spec)


def test_everything_that_is_wrong_with_an_object_is_found_at_once():
    told = refusal(asn=0, port=0, multihopTTL=0)

    assert [part.split(":")[0] for part in told.split("; ")] == ["spec.asn", "spec.multihopTTL", "spec.port"]


def test_two_peers_with_one_neighbour_address_are_one_session_and_a_report():
    result = compiled(A, bgp_peer("tor1", "10.0.0.9"), bgp_peer("tor2", "10.0.0.9", 65002))

    assert set(sessions(result)) == {"tor1"}
    assert problems(result) == ["BGPPeer tor2: spec.address: 10.0.0.9 is the neighbour of BGPPeer tor1 already"]


def test_one_address_may_be_the_neighbour_of_different_nodes():
    one = bgp_peer("tor1", "10.0.0.9", nodeSelector=selector(rack="a"))
    other = bgp_peer("tor2", "10.0.0.9", nodeSelector=selector(rack="b"))

    assert problems(compiled(A, B, one, other)) == []


def test_a_bad_peer_takes_nothing_else_with_it():
    result = compiled(A, B, bgp_peer("bad", "10.0.0.8", 0), bgp_peer("good", "10.0.0.9"))

    assert set(sessions(result)) == {"b", "good"}


def test_a_configuration_of_another_name_is_ignored_with_an_error():
    result = compiled(A, B, bgp_configuration("other", asn=65000))

    assert sessions(result)["b"].local_asn == 64512
    assert problems(result) == ["BGPConfiguration other: metadata.name: only the one named 'default' is read"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"asn": 0}, "spec.asn: 0 is not a private ASN"),
        ({"asn": 65535}, "spec.asn: 65535 is not a private ASN"),
        ({"asn": 3320}, "spec.asn: 3320 is not a private ASN"),
        ({"listenPort": 0}, "spec.listenPort: 0 is not between"),
        ({"timers": {"hold": "1s"}}, "spec.timers.hold: 1s is neither 0 nor at least 3s"),
        ({"import": {"allow": [{"prefix": "x"}]}}, "spec.import.allow[0]: 'x' does not appear"),
        ({"communities": ["x"]}, "spec.communities[0]: 'x' is not a community"),
    ],
)
def test_a_bad_cluster_configuration_is_left_out_whole(spec, problem):
    result = compiled(A, B, bgp_configuration(**{"listenPort": 1179, **spec}))

    assert f"BGPConfiguration default: {problem}" in problems(result)[0]
    assert (sessions(result)["b"].local_asn, sessions(result)["b"].port) == (64512, 179)
