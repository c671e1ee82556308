"""containerlab/dual-stack: one mesh session carries both families; the router outside has one session for each."""

from __future__ import annotations

from itertools import permutations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "dual-stack"
NODES = ("node1", "node2", "node3")
OUTSIDE = {4: "198.51.100.0/24", 6: "2001:db8:100::/64"}
EDGE = {4: "172.31.0.254", 6: "fd00:31::fe"}


def pods(node: str) -> dict[int, str]:
    return {4: f"10.244.{node[-1]}.0/24", 6: f"fd00:10:244:{node[-1]}::/64"}


def address(node: str) -> dict[int, str]:
    return {4: f"172.31.0.{node[-1]}", 6: f"fd00:31::{node[-1]}"}


def pod(node: str) -> dict[int, str]:
    return {4: f"10.244.{node[-1]}.2", 6: f"fd00:10:244:{node[-1]}::2"}


def test_a_pair_of_nodes_has_one_session_with_both_families(lab: Lab) -> None:
    mesh = {key: peer for key, peer in lab.peers(*NODES).items() if peer["type"] == "mesh"}
    assert set(mesh) == set(permutations(NODES, 2))
    for peer in mesh.values():
        assert set(peer["families"]) == {"ipv4", "ipv6"}
        assert all(counts["accepted"] >= 1 for counts in peer["families"].values())


def test_the_router_has_a_session_for_each_family_and_gets_only_pods(lab: Lab) -> None:
    external = {peer: set(session["families"]) for (_, peer), session in lab.peers("node1").items() if "edge" in peer}
    assert external == {"edge-ipv4": {"ipv4"}, "edge-ipv6": {"ipv6"}}
    for family in (4, 6):
        wanted = {pods(node)[family]: {address(node)[family]} for node in NODES}
        eventually(lambda: lab.kernel("edge", family=family) == wanted)  # noqa: B023 - called here


def test_nodes_have_both_families_in_the_kernel_with_next_hops_of_the_same_family(lab: Lab) -> None:
    for node in NODES:
        for family in (4, 6):
            mesh = {pods(other)[family]: {address(other)[family]} for other in NODES if other != node}
            wanted = {**mesh, OUTSIDE[family]: {EDGE[family]}}
            eventually(lambda: lab.kernel(node, family=family) == wanted)  # noqa: B023 - called here


def test_packets_of_both_families_travel_between_pods_and_outside(lab: Lab) -> None:
    for family, outside in ((4, "198.51.100.1"), (6, "2001:db8:100::1")):
        for source, target in permutations(NODES, 2):
            assert lab.pings(source, pod(target)[family])
        assert eventually(lambda: lab.fetch("edge", pod("node2")[family], pod=False)) == "node2"  # noqa: B023
        assert lab.pings("node3", outside)
