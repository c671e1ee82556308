"""containerlab/full-mesh: four nodes whose mesh needs no configuration."""

from __future__ import annotations

from itertools import permutations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "full-mesh"
NODES = ("node1", "node2", "node3", "node4")


def pods(node: str) -> str:
    return f"10.244.{node[-1]}.0/24"


def others(node: str) -> tuple[str, ...]:
    return tuple(other for other in NODES if other != node)


def test_every_pair_has_one_session_that_carries_one_prefix_each_way(lab: Lab) -> None:
    peers = lab.peers(*NODES)
    assert set(peers) == set(permutations(NODES, 2))
    for peer in peers.values():
        assert (peer["type"], peer["state"], peer["remoteAs"], peer["localAs"]) == ("mesh", "Established", 64512, 64512)
        assert set(peer["families"]) == {"ipv4"}
        counts = peer["families"]["ipv4"]
        assert (counts["received"], counts["accepted"], counts["advertised"]) == (1, 1, 1)


def test_both_ends_have_each_others_pods_in_bird_and_in_the_kernel(lab: Lab) -> None:
    for node in NODES:
        assert lab.table(node) >= {pods(each) for each in NODES}
        assert lab.kernel(node) == {pods(other): {f"172.31.0.{other[-1]}"} for other in others(node)}


def test_show_routes_says_who_originates_a_prefix_and_that_the_kernel_has_it(lab: Lab) -> None:
    routes = {route["prefix"]: route for route in lab.show("routes", "--node", "node1")}
    assert routes[pods("node1")]["source"] == "pod"
    learned = routes[pods("node2")]
    assert (learned["source"], learned["peer"], learned["best"], learned["installed"]) == (
        "learned",
        "node2",
        True,
        True,
    )


def test_packets_travel_between_all_pods(lab: Lab) -> None:
    for source, target in permutations(NODES, 2):
        assert lab.pings(source, f"10.244.{target[-1]}.2")
        assert eventually(lambda: lab.fetch(source, f"10.244.{target[-1]}.2")) == target  # noqa: B023 - called here


def test_a_killed_agent_costs_no_session_no_route_and_no_packet(lab: Lab) -> None:
    before, uptimes = lab.kernel("node1"), lab.uptimes("node2")
    ping = lab.start("node2", "ip", "netns", "exec", "pod", "ping", "-n", "-i", "0.05", "-c", "20", "10.244.1.2")
    lab.run("node1", "kill", "-9", lab.agent("node1"))
    report = ping.communicate(timeout=30)[0]
    assert " 0% packet loss" in report, report
    assert lab.kernel("node1") == before
    assert all(uptime >= uptimes[peer] for peer, uptime in lab.uptimes("node2").items())


def test_a_node_that_leaves_the_cluster_loses_its_sessions_and_routes(lab: Lab) -> None:
    lab.rewrite("nodes.yaml", lambda text: "---".join(text.split("---")[:3]))
    eventually(lambda: set(lab.peers("node2", "node3")) == set(permutations(("node2", "node3"), 2)) | _to_node1())
    eventually(lambda: pods("node4") not in lab.kernel("node2"))
    assert lab.pings("node2", "10.244.3.2")


def _to_node1() -> set[tuple[str, str]]:
    return {("node2", "node1"), ("node3", "node1")}
