"""What sessions of every kind do for real: equal-cost paths, multihop, restarts, passwords, BFD, link-local peers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.routing.model import Bfd, BirdConfig, NextHopSelf
from birdctl.routing.render import render
from birdctl.secret import Secret
from tests.birds import BirdProgram
from tests.configs import ASN, channel, external_session, mesh_session, node_config, originated, pattern, peer_filters
from tests.polling import eventually
from tests.routers import Router, routers

OUTSIDE = "172.16.0.0/16"


@contextmanager
def one_network(*birds: BirdProgram) -> Iterator[list[Router]]:
    """Routers 1, 2, ... on one subnet: a bridge in the first one."""
    with routers(*birds) as nodes:
        first, *rest = nodes
        first.run("ip", "link", "add", "eth0", "type", "bridge")
        first.run("ip", "link", "set", "eth0", "up")
        for number, node in enumerate(rest, start=2):
            first.connect(f"port{number}", node, "eth0")
            first.run("ip", "link", "set", f"port{number}", "master", "eth0")
        for number, node in enumerate(nodes, start=1):
            node.address("eth0", f"10.0.0.{number}/24", f"fd00::{number}/64", f"fe80::{number}/64")
        yield nodes


def tor(number: int, version: tuple[int, ...], **options: object) -> BirdConfig:
    """A router at 10.0.0.NUMBER in AS 65000 that announces OUTSIDE to node 1."""
    session = external_session(
        "n1", "10.0.0.1", ASN, **{"local_asn": 65000, "local_address": ip_address(f"10.0.0.{number}"), **options}
    )
    filters = peer_filters("n1", Family.IPV4, pattern(ip_network("10.0.0.0/8")), services=("outside4",))
    config = node_config(number, version, session, filters=filters)
    return replace(config, originated=(originated("outside4", Family.IPV4, OUTSIDE),))


def below(version: tuple[int, ...], *numbers: int, **options: object) -> BirdConfig:
    """Node 1 below the tors of these numbers."""
    sessions = [
        external_session(
            f"tor{number}",
            f"10.0.0.{number}",
            65000,
            **{"local_address": ip_address("10.0.0.1"), **options},
            channels=(channel(Family.IPV4, "tors", next_hop_self=NextHopSelf.ALL),),
        )
        for number in numbers
    ]
    return node_config(
        1, version, *sessions, filters=peer_filters("tors", Family.IPV4, pattern(ip_network("172.16.0.0/12")))
    )


def start(nodes: list[Router], *configs: BirdConfig) -> None:
    for node, config in zip(nodes, configs, strict=True):
        node.start(render(replace(config, version=node.bird.version)).text)


def test_two_external_peers_share_the_traffic_and_one_takes_over(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version, bird_version) as nodes:
        version = bird_version.version
        start(nodes, below(version, 2, 3), tor(2, version), tor(3, version))
        eventually(lambda: nodes[0].kernel_routes() == {OUTSIDE: ["10.0.0.2", "10.0.0.3"]})
        nodes[1].run("ip", "link", "set", "eth0", "down")
        nodes[1].ask("disable peer_n1")
        nodes[0].ask("restart peer_tor2")
        eventually(lambda: nodes[0].kernel_routes() == {OUTSIDE: ["10.0.0.3"]})


def test_two_nodes_with_one_prefix_share_the_traffic(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version, bird_version) as nodes:
        version = bird_version.version
        shared = originated("pods4", Family.IPV4, "10.9.0.0/24")
        others = [
            replace(node_config(number, version, mesh_session(number, 1)), originated=(shared,)) for number in (2, 3)
        ]
        start(nodes, node_config(1, version, mesh_session(1, 2), mesh_session(1, 3)), *others)
        eventually(lambda: nodes[0].kernel_routes() == {"10.9.0.0/24": ["10.0.0.2", "10.0.0.3"]})


def test_a_multihop_peers_routes_lead_over_the_underlay(bird_version: BirdProgram) -> None:
    with routers(bird_version, bird_version, bird_version) as (one, two, middle):
        for number, node in ((1, one), (2, two)):
            node.connect("eth0", middle, f"eth{number}")
            node.address("lo", f"10.0.0.{number}/32")
            node.address("eth0", f"192.168.{number}.2/24")
            middle.address(f"eth{number}", f"192.168.{number}.1/24")
            node.run("ip", "route", "add", "default", "via", f"192.168.{number}.1")
            middle.run("ip", "route", "add", f"10.0.0.{number}/32", "via", f"192.168.{number}.2")
        version = bird_version.version
        start([one, two], below(version, 2, multihop=2), tor(2, version, multihop=2))
        eventually(lambda: one.kernel_routes() == {OUTSIDE: ["192.168.1.1"]})


def test_ttl_security_needs_it_at_both_ends(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version) as nodes:
        version = bird_version.version
        start(nodes, below(version, 2, ttl_security=True), tor(2, version, ttl_security=True))
        eventually(lambda: nodes[0].established("peer_tor2"))


def test_a_killed_bird_keeps_its_routes_everywhere(bird_version: BirdProgram, tmp_path: Path) -> None:
    with one_network(bird_version, bird_version) as nodes:
        version = bird_version.version
        one, two = nodes
        config = node_config(1, version, mesh_session(1, 2))
        start(nodes, config, node_config(2, version, mesh_session(2, 1)))
        eventually(lambda: one.kernel_routes() and two.kernel_routes())
        eventually(lambda: one.kernel_routes(6) and two.kernel_routes(6))
        log = tmp_path / "routes"
        monitors = [route_monitor(node, log) for node in nodes]
        one.kill()
        assert one.kernel_routes() == {"10.1.2.0/24": ["10.0.0.2"]}
        one.start(render(config).text, "-R")
        eventually(lambda: one.established("node_n2"))
        eventually(lambda: "recovery" not in one.lines("show status").lower(), timeout=25)
        for monitor in monitors:
            monitor.terminate()
            monitor.wait()
        gone = lost(log.read_text())
        assert not any(gone.values()) if version >= (3,) else not gone
        assert one.kernel_routes() == {"10.1.2.0/24": ["10.0.0.2"]}


def lost(changes: str) -> dict[str, bool]:
    """The routes that were deleted, and whether they stayed so. BIRD 3 puts one back at once now and then."""
    gone: dict[str, bool] = {}
    for line in changes.splitlines():
        deleted = line.startswith("Deleted ")
        prefix = line.removeprefix("Deleted ").split()[0]
        if deleted or prefix in gone:
            gone[prefix] = deleted
    return gone


def route_monitor(node: Router, log: Path) -> subprocess.Popen[bytes]:
    """Appends the changes of the node's routes to a file."""
    with log.open("ab") as file:
        return subprocess.Popen(node.space.command("ip", "monitor", "route"), stdout=file)


@pytest.mark.parametrize("passwords", [("same", "same"), ("one", "other"), ("one", None)], ids=str)
def test_a_password_must_be_the_same_in_every_pair_of_versions(
    birds: tuple[BirdProgram, ...], passwords: tuple[str, str | None]
) -> None:
    ours, theirs = (Secret(text) if text else None for text in passwords)
    first, *rest = birds
    with one_network(first, *rest) as nodes:
        peers = range(2, len(nodes) + 1)
        tors = [tor(number, (0,), password=theirs) for number in peers]
        start(nodes, below((0,), *peers, password=ours), *tors)
        names = [f"peer_tor{number}" for number in peers]
        if ours == theirs:
            eventually(lambda: nodes[0].established(*names))
        else:
            eventually(lambda: all(nodes[0].sessions()[name].state in ("Connect", "Active") for name in names))
            for name in names:
                with pytest.raises(AssertionError):
                    eventually(lambda name=name: nodes[0].established(name), timeout=1)


def test_bfd_notices_a_silent_peer_long_before_the_hold_time(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version) as nodes:
        version = bird_version.version
        start(nodes, below(version, 2, bfd=Bfd()), tor(2, version, bfd=Bfd()))
        eventually(lambda: nodes[0].established("peer_tor2"))
        eventually(lambda: "Up" in nodes[0].lines("show bfd sessions"))
        nodes[1].pause()
        eventually(lambda: nodes[0].sessions()["peer_tor2"].state != "Established")
        eventually(lambda: nodes[0].kernel_routes() == {})


def test_bfd_works_between_nodes_too(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version) as nodes:
        version = bird_version.version
        start(
            nodes,
            node_config(1, version, mesh_session(1, 2, bfd=Bfd())),
            node_config(2, version, mesh_session(2, 1, bfd=Bfd())),
        )
        eventually(lambda: "Up" in nodes[0].lines("show bfd sessions"))


def test_a_link_local_peer_gives_routes_of_both_families(bird_version: BirdProgram) -> None:
    with one_network(bird_version, bird_version) as nodes:
        version = bird_version.version
        configs = [linked(number, version) for number in (1, 2)]
        start(nodes, *configs)
        eventually(lambda: nodes[0].kernel_routes(4) == {"10.1.2.0/24": ["fe80::2"]})
        eventually(lambda: nodes[0].kernel_routes(6) == {"fd01:2::/64": ["fe80::2"]})


def linked(number: int, version: tuple[int, ...]) -> BirdConfig:
    """A router with an eBGP neighbour at its link-local address, IPv4 over IPv6 (RFC 8950)."""
    channels = (channel(Family.IPV4, "link", extended_next_hop=True), channel(Family.IPV6, "link"))
    peer = 3 - number
    session = external_session(
        "link",
        f"fe80::{peer}",
        65000 + peer,
        local_asn=65000 + number,
        interface="eth0",
        local_address=ip_address(f"fe80::{number}"),
        channels=channels,
    )
    everything = ((Family.IPV4, "10.0.0.0/8"), (Family.IPV6, "fd00::/8"))
    filters = tuple(
        each for family, prefix in everything for each in peer_filters("link", family, pattern(ip_network(prefix)))
    )
    return node_config(number, version, session, filters=filters)
