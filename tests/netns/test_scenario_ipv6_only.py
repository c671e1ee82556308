"""containerlab/ipv6-only: no IPv4 address anywhere."""

from __future__ import annotations

import json
from itertools import permutations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "ipv6-only"
NODES = ("node1", "node2", "node3")


def pods(node: str) -> str:
    return f"fd00:10:244:{node[-1]}::/64"


def test_sessions_run_over_ipv6_and_carry_ipv6_only(lab: Lab) -> None:
    peers = lab.peers(*NODES)
    assert set(peers) == set(permutations(NODES, 2))
    for (_, other), peer in peers.items():
        assert (peer["address"], peer["state"]) == (f"fd00:31::{other[-1]}", "Established")
        assert set(peer["families"]) == {"ipv6"}


def test_router_ids_are_generated_and_differ(lab: Lab) -> None:
    ids = {peer["routerId"] for peer in lab.peers(*NODES).values()}
    assert len(ids) == len(NODES)
    assert "0.0.0.0" not in ids


def test_no_node_has_an_ipv4_address(lab: Lab) -> None:
    for node in NODES:
        links = json.loads(lab.run(node, "ip", "-j", "-4", "address"))
        assert {link["ifname"] for link in links if link.get("addr_info")} <= {"lo"}


def test_both_ends_have_each_others_pods_in_bird_and_in_the_kernel(lab: Lab) -> None:
    for node in NODES:
        assert lab.table(node, family=6) >= {pods(each) for each in NODES}
        wanted = {pods(other): {f"fd00:31::{other[-1]}"} for other in NODES if other != node}
        eventually(lambda: lab.kernel(node, family=6) == wanted)  # noqa: B023 - called here


def test_packets_travel_between_all_pods(lab: Lab) -> None:
    for source, target in permutations(NODES, 2):
        assert lab.pings(source, f"fd00:10:244:{target[-1]}::2")
        assert eventually(lambda: lab.fetch(source, f"fd00:10:244:{target[-1]}::2")) == target  # noqa: B023
