"""FRR and GoBGP as real peers: what they see of a node of ours, and what the node takes from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.peers import ROUTERS, External, Frr, interop
from tests.polling import eventually

TO_NEAR = "tcp port 179 and host 172.31.0.2"
ACCEPTED = {"198.51.100.0/24", "2001:db8:100::/64"}
SENT = {
    4: {"10.244.1.0/24", "203.0.113.80/32"},
    6: {"fd00:10:244:1::/64"},
}


@pytest.fixture(scope="module", params=ROUTERS)
def outside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[External]:
    with interop(request.param, tmp_path_factory.mktemp("interop")) as external:
        yield external


def session(outside: External, peer: str) -> dict[str, Any]:
    return outside.lab.peers("node1")["node1", peer]


def test_both_ends_agree_that_the_sessions_are_established(outside: External) -> None:
    for router, asn in (("near", 65010), ("far", 65011)):
        assert outside.established(router)
        peer = session(outside, router)
        assert (peer["state"], peer["type"], peer["remoteAs"]) == ("Established", "external", asn)


def test_one_session_carries_both_families(outside: External) -> None:
    assert set(session(outside, "near")["families"]) == {"ipv4", "ipv6"}
    assert {family: set(outside.received("near", family)) for family in (4, 6)} == SENT


def test_next_hops_are_the_nodes_addresses_of_the_same_family(outside: External) -> None:
    assert outside.received("near", 4)["10.244.1.0/24"].next_hops == {"172.31.0.1"}
    assert outside.received("near", 6)["fd00:10:244:1::/64"].next_hops == {"fd00:31::1"}


def test_attributes_arrive_as_they_were_asked_for(outside: External) -> None:
    pods = outside.received("near", 4)["10.244.1.0/24"]
    assert pods.as_path == (64512, 64512)
    assert pods.med == 50
    assert pods.communities == {"64512:100"}
    assert pods.large_communities == {"64512:1:2"}
    service = outside.received("near", 4)["203.0.113.80/32"]
    assert service.med == 10
    assert "65010:80" in service.communities


def test_what_the_peers_received_is_what_show_advertisements_says(outside: External) -> None:
    said = {item["prefix"]: set(item.get("advertisedTo", ())) for item in outside.lab.show("advertisements")}
    for router in ("near", "far"):
        received = {*outside.received(router, 4), *(outside.received(router, 6) if router == "near" else ())}
        assert received == {prefix for prefix, peers in said.items() if router in peers}


def test_only_what_the_allow_list_names_is_accepted(outside: External) -> None:
    learned = {
        route["prefix"] for route in outside.lab.show("routes", "--node", "node1") if route["source"] == "learned"
    }
    assert learned == ACCEPTED
    assert outside.lab.kernel("node1") == {"198.51.100.0/24": {"172.31.0.2"}}
    assert outside.lab.kernel("node1", family=6) == {"2001:db8:100::/64": {"fd00:31::2"}}
    counts = session(outside, "near")["families"]["ipv4"]
    assert (counts["received"] - counts["filtered"], counts["accepted"]) == (1, 1)


def test_a_multihop_peer_gets_its_routes_across_a_router(outside: External) -> None:
    assert set(outside.received("far", 4)) == {"10.244.1.0/24"}
    assert outside.received("far", 4)["10.244.1.0/24"].next_hops == {"172.31.0.1"}


def test_the_session_asks_for_the_password(outside: External) -> None:
    captured = outside.lab.start("near", "timeout", "10", "tcpdump", "-nnvi", "eth1", "-c", "1", TO_NEAR)
    assert captured.stdout
    assert "listening" in captured.stdout.readline()
    outside.lab.run("node1", "birdc", "-s", "/run/bird/bird.ctl", "reload", "out", "all")
    assert "md5" in captured.communicate(timeout=15)[0]


def test_another_password_ends_the_session_and_the_right_one_brings_it_back(outside: External) -> None:
    outside.lab.rewrite("cluster.yaml", lambda text: text.replace("interop-password", "another-password"))
    eventually(lambda: session(outside, "near")["state"] != "Established")
    outside.lab.rewrite("cluster.yaml", lambda text: text.replace("another-password", "interop-password"))
    eventually(lambda: outside.established("near"), timeout=30)
    eventually(lambda: outside.lab.kernel("node1") == {"198.51.100.0/24": {"172.31.0.2"}})


def test_a_peer_with_bfd_notices_a_frozen_node_and_its_session_comes_back(outside: External) -> None:
    if not isinstance(outside, Frr):  # GoBGP speaks no BFD: its session lives without
        assert session(outside, "near")["bfd"] != "up"
        return
    eventually(lambda: session(outside, "near")["bfd"] == "up")
    assert bfd_status(outside) == "up"
    (bird,) = outside.lab.pids("node1", "bird")
    outside.lab.run("node1", "kill", "-STOP", bird)
    eventually(lambda: bfd_status(outside) == "down")
    assert not outside.established("near")
    outside.lab.run("node1", "kill", "-CONT", bird)
    eventually(lambda: outside.established("near"))
    eventually(lambda: bfd_status(outside) == "up")


def bfd_status(outside: Frr) -> str:
    (peer,) = (peer for peer in outside.ask("near", "show bfd peers") if peer["peer"] == "172.31.0.1")
    return str(peer["status"])


def test_a_killed_bird_costs_the_peer_no_route(outside: External) -> None:
    assert outside.restart_capability("near")
    eventually(lambda: set(outside.received("near", 4)) == SENT[4])
    (bird,) = outside.lab.pids("node1", "bird")
    outside.lab.run("node1", "kill", "-9", bird)
    eventually(lambda: outside.stale("near", "10.244.1.0/24"))
    outside.lab.run("node1", "sh", "-c", "bird -R -s /run/bird/bird.ctl -c /etc/bird/bird.conf")
    eventually(lambda: outside.established("near"), timeout=30)
    eventually(lambda: set(outside.received("near", 4)) == SENT[4])
    eventually(lambda: not outside.stale("near", "10.244.1.0/24"), timeout=30)
