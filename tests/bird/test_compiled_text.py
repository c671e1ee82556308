"""Whatever the compiler makes of a cluster is a configuration for every BIRD."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdctl.routing.render import render
from tests.birds import BirdProgram
from tests.unit.routing.build import (
    advertisement,
    bgp_configuration,
    bgp_peer,
    compiled,
    endpoints,
    node,
    nodes,
    problems,
    secret,
    service,
)

ALLOW = [
    {"prefix": "0.0.0.0/0"},
    {"prefix": "10.0.0.0/8", "minLength": 9, "maxLength": 24},
    {"prefix": "::/0", "maxLength": 64},
]
EVERY_OPTION = {
    "port": 1790,
    "localASN": 65100,
    "localAddress": "192.168.7.1",
    "passwordSecret": {"name": "bgp", "key": "tor"},
    "multihopTTL": 3,
    "ttlSecurity": True,
    "timers": {"hold": "9s", "keepalive": "3s", "connectRetry": "2s"},
    "bfd": {"minTx": "50ms", "minRx": "60ms", "multiplier": 5},
    "gracefulRestart": {"restartTime": "60s", "longLivedStaleTime": "1h"},
    "families": ["IPv4", "IPv6"],
    "nextHopSelf": False,
    "passive": True,
    "allowASIn": 2,
    "addPaths": "Both",
    "import": {"allow": ALLOW, "limit": {"prefixes": 1000, "action": "Restart"}},
    "export": {"limit": {"prefixes": 10, "action": "Disable"}, "communities": ["no-export"], "prepend": 2, "med": 5},
}
ANNOTATIONS = {
    "path-prepend.as": "65099",
    "path-prepend.repeat-n": "3",
    "node.bgp.communities": "64512:1, 64512:2:3, blackhole",
    "node.bgp.customimportreject": "172.16.0.0/12, fc00::/7",
    "bgp-local-addresses": "10.0.0.1, fd00::1",
}


def test_everything_at_once(bird_version: BirdProgram):
    own = node("a", "10.0.0.1", "fd00::1", pods=("10.9.0.0/24", "fd00:9::/64"), annotations=ANNOTATIONS)
    result = compiled(
        own,
        *nodes(40)[1:],
        bgp_configuration(communities=["64512:9"], topology="RouteReflectors", routeReflectors={"count": 40}),
        secret("bgp", tor="it's ${secret} \\ #"),
        bgp_peer("all", "10.0.9.1", **EVERY_OPTION),
        bgp_peer("six", "fd00::9:1", families=["IPv4", "IPv6"]),
        bgp_peer("link", "fe80::1", interface="eth1", families=["IPv4", "IPv6"]),
        bgp_peer("inside", "10.0.9.2", 64512),
        bgp_peer("hold-nothing", "10.0.9.3", timers={"hold": "0s"}, gracefulRestart={"enabled": False}),
        bgp_peer("a.name-of." + "x" * 60, "10.0.9.4"),
        service("web", ("10.96.0.1", "fd00:96::1")),
        endpoints("web"),
        endpoints("web", slice_name="web-6", family="IPv6"),
        advertisement("one", addresses=["ClusterIP"], localPref=200, med=10, communities=["1:2:3"], peers=["inside"]),
        advertisement("two", addresses=["ClusterIP"], prepend=3, aggregationLength={"ipv4": 24, "ipv6": 64}),
        version=bird_version.version,
        advertise_cluster_ip=True,
    )

    assert problems(result) == []
    assert bird_version.check(render(result.config).text) == ""


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=texts, interface=texts, community=texts, label=texts)
def test_no_text_of_an_object_breaks_out_of_the_configuration(birds, password, interface, community, label):
    result = compiled(
        node("a", "10.0.0.1", pods="10.9.0.0/24", annotations={"node.bgp.communities": community, "peers": label}),
        node("b", "10.0.0.2"),
        secret("bgp", tor=password),
        bgp_peer("one", "10.0.9.1", passwordSecret={"name": "bgp", "key": "tor"}),
        bgp_peer("two", "10.0.9.2", interface=interface),
        advertisement("web", communities=[community]),
    )

    assert birds[0].check(render(result.config).text) == ""
