"""containerlab/external-frr: FRR outside the mesh, a session for each family."""

from __future__ import annotations

import json
from typing import Any

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "external-frr"
NODES = ("node1", "node2")
POD_PREFIXES = {"IPv4": {"10.244.1.0/24", "10.244.2.0/24"}, "IPv6": {"fd00:10:244:1::/64", "fd00:10:244:2::/64"}}


def vtysh(lab: Lab, command: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(lab.run("frr", "vtysh", "-c", f"{command} json"))
    return answer


def test_frr_has_a_session_for_each_family_with_both_nodes(lab: Lab) -> None:
    for family, neighbours in (("ipv4", ("172.31.0.1", "172.31.0.2")), ("ipv6", ("fd00:31::1", "fd00:31::2"))):
        peers = vtysh(lab, f"show bgp {family} unicast summary")["peers"]
        assert {address: peer["state"] for address, peer in peers.items()} == dict.fromkeys(neighbours, "Established")
        assert {peer["pfxRcd"] for peer in peers.values()} == {1}


def test_frr_gets_exactly_the_pods_with_the_attributes_that_were_asked_for(lab: Lab) -> None:
    routes = vtysh(lab, "show bgp ipv4 unicast")["routes"]
    assert set(routes) == POD_PREFIXES["IPv4"] | {"198.51.100.0/24"}
    detail = vtysh(lab, "show bgp ipv4 unicast 10.244.1.0/24")["paths"][0]
    assert detail["aspath"]["string"] == "64512"
    assert detail["metric"] == 50
    assert detail["community"]["list"] == ["64512:100"]
    assert detail["nexthops"][0]["ip"] == "172.31.0.1"
    assert set(vtysh(lab, "show bgp ipv6 unicast")["routes"]) == POD_PREFIXES["IPv6"] | {"2001:db8:100::/64"}


def test_what_frr_gets_is_what_show_advertisements_says(lab: Lab) -> None:
    said = {
        item["prefix"]
        for node in NODES
        for item in lab.show("advertisements", "--node", node)
        if {"frr", "frr-ipv6"} & set(item.get("advertisedTo", ()))
    }
    assert said == POD_PREFIXES["IPv4"] | POD_PREFIXES["IPv6"]


def test_both_kernels_have_the_routes(lab: Lab) -> None:
    for node in NODES:
        eventually(lambda: lab.kernel(node).get("198.51.100.0/24") == {"172.31.0.254"})  # noqa: B023 - called here
        eventually(lambda: lab.kernel(node, family=6).get("2001:db8:100::/64") == {"fd00:31::fe"})  # noqa: B023
    eventually(lambda: set(_installed(lab)) == POD_PREFIXES["IPv4"])


def _installed(lab: Lab) -> list[str]:
    routes = vtysh(lab, "show ip route bgp")
    return [prefix for prefix, paths in routes.items() if paths[0].get("installed")]


def test_packets_travel_between_pods_and_frr(lab: Lab) -> None:
    for address in ("10.244.2.2", "fd00:10:244:2::2", "198.51.100.1", "2001:db8:100::1"):
        assert lab.pings("node1", address)
    assert eventually(lambda: lab.fetch("frr", "10.244.1.2", pod=False)) == "node1"
    assert eventually(lambda: lab.fetch("frr", "fd00:10:244:2::2", pod=False)) == "node2"


def test_frr_keeps_forwarding_to_a_node_whose_bird_is_killed_and_comes_back(lab: Lab) -> None:
    neighbour = vtysh(lab, "show bgp neighbors 172.31.0.1")["172.31.0.1"]
    assert neighbour["neighborCapabilities"]["gracefulRestart"] == "advertisedAndReceived"
    (bird,) = lab.pids("node1", "bird")
    lab.run("node1", "kill", "-9", bird)
    assert "10.244.1.0/24" in vtysh(lab, "show ip route bgp")
    assert lab.pings("frr", "10.244.1.2", pod=False)
    lab.run("node1", "sh", "-c", "setsid bird -R -s /run/bird/bird.ctl -c /etc/bird/bird.conf")
    eventually(lambda: lab.state("node1", "frr") == "Established")
    assert lab.pings("frr", "10.244.1.2", pod=False)
