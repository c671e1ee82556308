"""containerlab/leaf-spine: nodes with two ToRs, eBGP all the way, ECMP, and a client outside."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "leaf-spine"
NODES = ("node1", "node2", "node3")
TORS = ("tor1", "tor2")
CLIENTS = "198.51.100.0/24"
CLIENT = "198.51.100.10"
PODS = {node: f"10.244.{node[-1]}.0/24" for node in NODES}


def pod(node: str) -> str:
    return f"10.244.{node[-1]}.2"


def test_every_node_has_a_session_with_bfd_to_each_tor(lab: Lab) -> None:
    eventually(lambda: {peer.get("bfd") for peer in lab.peers(*NODES).values()} == {"up"})
    peers = lab.peers(*NODES)
    assert set(peers) == set(product(NODES, TORS))
    for (_, tor), peer in peers.items():
        assert (peer["type"], peer["state"], peer["remoteAs"]) == ("external", "Established", 65000 + int(tor[-1]))
        assert peer["holdTimeSeconds"] == 9


def test_tors_and_spine_have_exactly_the_pods_and_the_clients_network(lab: Lab) -> None:
    for router in (*TORS, "spine"):
        eventually(lambda: lab.table(router) == {*PODS.values(), CLIENTS})  # noqa: B023 - called here


def test_routes_have_both_tors_as_next_hops(lab: Lab) -> None:
    for node in NODES:
        eventually(lambda: lab.kernel(node)[CLIENTS] == {"10.1.1.1", "10.1.2.1"})  # noqa: B023 - called here
    spine = eventually(lambda: lab.kernel("spine"))
    assert all(spine[prefix] == {"10.0.1.2", "10.0.2.2"} for prefix in PODS.values())


def test_show_routes_has_both_next_hops_and_their_as_path(lab: Lab) -> None:
    routes = [route for route in lab.show("routes", "--node", "node1") if route["prefix"] == CLIENTS]
    assert {tuple(route["asPath"]) for route in routes} == {(65001, 65000), (65002, 65000)}
    installed = [route for route in routes if route["installed"]]
    assert {hop["address"] for route in installed for hop in route["nextHops"]} == {"10.1.1.1", "10.1.2.1"}


def test_packets_travel_between_pods_and_from_the_client_outside(lab: Lab) -> None:
    for source, target in permutations(NODES, 2):
        assert lab.pings(source, pod(target))
    for node in NODES:
        assert lab.pings("client", pod(node), pod=False)
        assert eventually(lambda: lab.fetch("client", pod(node), pod=False)) == node  # noqa: B023 - called here
        assert lab.pings(node, CLIENT)


@pytest.mark.parametrize(("link", "lost", "kept"), [("eth1", "tor1", "tor2"), ("eth2", "tor2", "tor1")])
def test_traffic_moves_to_the_other_tor_when_a_link_is_cut_and_back_when_it_returns(
    lab: Lab, link: str, lost: str, kept: str
) -> None:
    gateways = {"tor1": "10.1.1.1", "tor2": "10.1.2.1"}
    lab.run("node1", "ip", "link", "set", link, "down")
    eventually(lambda: lab.kernel("node1").get(CLIENTS) == {gateways[kept]}, timeout=5)
    eventually(lambda: lab.kernel("spine")[PODS["node1"]] == {f"10.0.{kept[-1]}.2"}, timeout=5)
    assert lab.state("node1", lost) != "Established"
    assert all(lab.fetch("client", pod("node1"), pod=False) == "node1" for _ in range(5))
    lab.run("node1", "ip", "link", "set", link, "up")
    eventually(lambda: lab.kernel("node1").get(CLIENTS) == set(gateways.values()))
    eventually(lambda: lab.kernel("spine")[PODS["node1"]] == {"10.0.1.2", "10.0.2.2"})


def test_traffic_goes_on_when_a_tor_loses_its_uplink(lab: Lab) -> None:
    lab.run("tor1", "ip", "link", "set", "eth1", "down")
    for node in NODES:
        eventually(lambda: lab.kernel(node).get(CLIENTS) == {"10.1.2.1"})  # noqa: B023 - called here
    for node in NODES:
        eventually(lambda: lab.kernel("spine")[PODS[node]] == {"10.0.2.2"})  # noqa: B023 - called here
    assert all(lab.fetch("client", pod(node), pod=False) == node for node in NODES)
    lab.run("tor1", "ip", "link", "set", "eth1", "up")
    eventually(lambda: lab.kernel("node1").get(CLIENTS) == {"10.1.1.1", "10.1.2.1"})


def test_a_planned_change_moves_the_traffic_without_touching_a_session(lab: Lab) -> None:
    before = lab.uptimes("node1")
    plan = lab.run("node1", "birdctl", "plan", "--manifests", "/changes/prefer-tor1")
    assert "reload out: tor2" in plan
    change(lab, "prefer-tor1")
    eventually(lambda: all(lab.kernel("spine")[prefix] == {"10.0.1.2"} for prefix in PODS.values()))
    assert all(uptime >= before[peer] for peer, uptime in lab.uptimes("node1").items())


def test_a_change_without_peers_is_refused_and_costs_nothing(lab: Lab) -> None:
    change(lab, "no-peers")
    eventually(lambda: "would remove 2 of 2 sessions" in status(lab))
    assert {peer["state"] for peer in lab.peers(*NODES).values()} == {"Established"}


def test_a_change_that_costs_a_session_once_it_runs_is_undone(lab: Lab) -> None:
    before = lab.kernel("node1")[CLIENTS]
    change(lab, "tight-limit")
    eventually(lambda: "undone" in status(lab))
    eventually(lambda: lab.uptimes("node1").get("tor1", 0) > 2)  # it is not tried again at once
    change(lab, "prefer-tor1")
    eventually(lambda: lab.kernel("node1").get(CLIENTS) == before)


def test_a_policy_closes_a_pod_to_the_client_and_to_no_other_pod(lab: Lab) -> None:
    found = lab.manifests / "policy.yaml"
    found.write_text((lab.folder / "changes/only-pods/policy.yaml").read_text())
    apply = ("birdctl", "apply", "--run-router=false", "--run-firewall", "--manifests", "/manifests")
    lab.run("node1", *apply)
    assert not lab.succeeds("client", "curl", "-s", "--max-time", "2", f"http://{pod('node1')}/")
    assert lab.fetch("node2", pod("node1")) == "node1"
    found.unlink()
    lab.run("node1", *apply)
    assert lab.fetch("client", pod("node1"), pod=False) == "node1"


def change(lab: Lab, name: str) -> None:
    content = (lab.folder / "changes" / name / "bgp.yaml").read_text()
    lab.rewrite("bgp.yaml", lambda _: content)


def status(lab: Lab) -> str:
    return lab.birdctl("show", "status", "--lab", lab.name, "--node", "node1").stdout
