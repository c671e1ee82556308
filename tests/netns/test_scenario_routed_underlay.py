"""containerlab/routed-underlay: a mesh across three routers; every next hop is found through the default route."""

from __future__ import annotations

from itertools import permutations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "routed-underlay"
NODES = ("node1", "node2", "node3")


def pods(node: str) -> str:
    return f"10.244.{node[-1]}.0/24"


def pod(node: str) -> str:
    return f"10.244.{node[-1]}.2"


def test_nodes_are_a_mesh_and_each_has_its_own_router_as_a_peer(lab: Lab) -> None:
    peers = lab.peers(*NODES)
    routers = {(node, f"router{node[-1]}") for node in NODES}
    assert set(peers) == set(permutations(NODES, 2)) | routers
    assert all(peers[key]["type"] == "external" for key in routers)


def test_nothing_is_accepted_from_a_router_and_only_own_pods_are_announced_to_it(lab: Lab) -> None:
    for node in NODES:
        counts = lab.peers(node)[node, f"router{node[-1]}"]["families"]["ipv4"]
        assert (counts["accepted"], counts["advertised"]) == (0, 1)


def test_mesh_next_hops_resolve_to_the_gateway_of_the_underlay(lab: Lab) -> None:
    for node in NODES:
        gateway = f"172.31.{node[-1]}.1"
        wanted = {pods(other): {gateway} for other in NODES if other != node}
        eventually(lambda: lab.kernel(node) == wanted)  # noqa: B023 - called here


def test_every_router_knows_all_pods(lab: Lab) -> None:
    for router in ("router1", "router2", "router3"):
        eventually(lambda: lab.table(router) >= {pods(node) for node in NODES})  # noqa: B023 - called here


def test_packets_travel_between_all_pods_across_the_routers(lab: Lab) -> None:
    for source, target in permutations(NODES, 2):
        assert lab.pings(source, pod(target))
        assert eventually(lambda: lab.fetch(source, pod(target))) == target  # noqa: B023 - called here


def test_sessions_and_packets_survive_a_cut_in_the_underlay(lab: Lab) -> None:
    before = lab.uptimes("node1")
    lab.run("router1", "ip", "link", "set", "eth2", "down")
    eventually(lambda: lab.pings("node1", pod("node2")))
    assert lab.uptimes("node1")["node2"] >= before["node2"]
    lab.run("router1", "ip", "link", "set", "eth2", "up")
    eventually(lambda: lab.kernel("router1").get(pods("node2")) == {"10.0.12.2"})
