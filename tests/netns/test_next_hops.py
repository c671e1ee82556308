"""Where routes between nodes really lead: real BIRDs on both ends, the kernel's table, and packets between pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.routing.model import BirdConfig
from birdctl.routing.render import render
from tests.birds import BirdProgram
from tests.configs import channel, mesh_session, node_config
from tests.polling import eventually
from tests.routers import Router, routers


def add_pods(router: Router, number: int) -> None:
    """The bridge that a node's pods hang on."""
    router.run("ip", "link", "add", "pods", "type", "bridge")
    router.run("ip", "link", "set", "pods", "up")
    router.address("pods", f"10.1.{number}.1/24", f"fd01:{number}::1/64")


@contextmanager
def one_network(bird: BirdProgram, other: BirdProgram | None = None) -> Iterator[list[Router]]:
    """Nodes 1 and 2 on one subnet."""
    with routers(bird, other or bird) as (one, two):
        one.connect("eth0", two, "eth0")
        for number, node in enumerate((one, two), start=1):
            node.address("eth0", f"10.0.0.{number}/24", f"fd00::{number}/64")
            add_pods(node, number)
        yield [one, two]


@contextmanager
def routed_underlay(bird: BirdProgram) -> Iterator[list[Router]]:
    """Nodes 1 and 2 behind a router with static routes, which is all that the nodes know: their default route."""
    with routers(bird, bird, bird) as (one, two, middle):
        for number, node in enumerate((one, two), start=1):
            node.connect("eth0", middle, f"eth{number}")
            node.run("ip", "address", "add", f"10.0.0.{number}/32", "dev", "lo")
            node.run("ip", "address", "add", f"fd00::{number}/128", "dev", "lo")
            node.address("eth0", f"192.168.{number}.2/24", f"fd99:{number}::2/64")
            middle.address(
                f"eth{number}", f"192.168.{number}.1/24", f"192.168.{number}.7/24", f"fd99:{number}::1/64", "fe80::1/64"
            )
            node.run("ip", "route", "add", "default", "via", f"192.168.{number}.1", "proto", "dhcp")
            node.run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0", "proto", "ra")
            for prefix in (f"10.0.0.{number}/32", f"10.1.{number}.0/24"):
                middle.run("ip", "route", "add", prefix, "via", f"192.168.{number}.2")
            for prefix in (f"fd00::{number}/128", f"fd01:{number}::/64"):
                middle.run("ip", "-6", "route", "add", prefix, "via", f"fd99:{number}::2")
            add_pods(node, number)
        yield [one, two]


def start_mesh(nodes: list[Router], configs: list[BirdConfig]) -> None:
    for node, config in zip(nodes, configs, strict=True):
        node.start(render(config).text)
    for node, config in zip(nodes, configs, strict=True):
        eventually(lambda node=node, config=config: node.established(*(each.name for each in config.sessions)))


def mesh_pair(version: tuple[int, ...]) -> list[BirdConfig]:
    return [node_config(1, version, mesh_session(1, 2)), node_config(2, version, mesh_session(2, 1))]


def test_routes_of_both_families_come_over_one_session(bird_version: BirdProgram) -> None:
    with one_network(bird_version) as (one, two):
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["10.0.0.2"]})
        eventually(lambda: one.kernel_routes(6) == {"fd01:2::/64": ["fd00::2"]})
        eventually(lambda: two.kernel_routes(4) and two.kernel_routes(6))
        assert one.pings("10.1.2.1", source="10.1.1.1")
        assert one.pings("fd01:2::1", source="fd01:1::1")


def test_next_hops_are_found_over_the_default_route(bird_version: BirdProgram) -> None:
    with routed_underlay(bird_version) as (one, two):
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["192.168.1.1"]})
        eventually(lambda: one.kernel_routes(6) == {"fd01:2::/64": ["fe80::1"]})
        eventually(lambda: two.kernel_routes(4) and two.kernel_routes(6))
        assert one.pings("10.1.2.1", source="10.1.1.1")
        assert one.pings("fd01:2::1", source="fd01:1::1")


def test_next_hops_follow_a_changed_default_route(bird_version: BirdProgram) -> None:
    with routed_underlay(bird_version) as (one, two):
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["192.168.1.1"]})
        one.run("ip", "address", "add", "192.168.1.3/24", "dev", "eth0")
        one.run("ip", "route", "replace", "default", "via", "192.168.1.7", "proto", "dhcp")
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["192.168.1.7"]})


def test_a_multipath_default_route_gives_multipath_routes(bird_version: BirdProgram) -> None:
    with routed_underlay(bird_version) as (one, two):
        hops = [word for last in (1, 7) for word in ("nexthop", "via", f"192.168.1.{last}")]
        one.run("ip", "route", "replace", "default", "proto", "static", *hops)
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["192.168.1.1", "192.168.1.7"]})


def test_routes_of_others_are_neither_exported_nor_touched(bird_version: BirdProgram) -> None:
    with one_network(bird_version) as (one, two):
        one.run("ip", "route", "add", "198.51.100.0/24", "via", "10.0.0.77", "proto", "static")
        one.run("ip", "route", "add", "blackhole", "203.0.113.0/24")
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: "198.51.100.0/24" in one.lines("show route table igp4"))
        eventually(lambda: two.kernel_routes(4) == {"10.1.1.0/24": ["10.0.0.1"]})
        assert one.ip("route", "show", "198.51.100.0/24")[0]["protocol"] == "static"
        assert one.ip("route", "show", "203.0.113.0/24")[0]["type"] == "blackhole"


def test_the_kernel_never_gets_our_own_blackholes(bird_version: BirdProgram) -> None:
    with one_network(bird_version) as (one, two):
        start_mesh([one, two], mesh_pair(bird_version.version))
        eventually(lambda: one.kernel_routes(4))
        assert "10.1.1.0/24" in one.lines("show route protocol pods4")
        assert "10.1.1.0/24" not in one.kernel_routes(4)


def over_ipv6(config: BirdConfig, number: int) -> BirdConfig:
    """The same session between the nodes' IPv6 addresses."""
    session = replace(
        config.sessions[0],
        address=ip_address(f"fd00::{3 - number}"),
        local_address=ip_address(f"fd00::{number}"),
        channels=(channel(Family.IPV4, next_hop_address=ip_address(f"10.0.0.{number}")), channel(Family.IPV6)),
    )
    return replace(config, sessions=(session,))


def test_an_ipv6_session_carries_ipv4_with_the_nodes_own_next_hop(bird_version: BirdProgram) -> None:
    with routed_underlay(bird_version) as (one, two):
        configs = [over_ipv6(config, number) for number, config in enumerate(mesh_pair(bird_version.version), start=1)]
        start_mesh([one, two], configs)
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["192.168.1.1"]})
        eventually(lambda: one.kernel_routes(6) == {"fd01:2::/64": ["fe80::1"]})


def extended(config: BirdConfig, number: int) -> BirdConfig:
    """IPv4 prefixes with IPv6 next hops (RFC 8950)."""
    channels = (channel(Family.IPV4, extended_next_hop=True), channel(Family.IPV6))
    return replace(
        over_ipv6(config, number), sessions=(replace(over_ipv6(config, number).sessions[0], channels=channels),)
    )


def test_ipv4_routes_of_nodes_without_ipv4_have_ipv6_next_hops(bird_version: BirdProgram) -> None:
    with one_network(bird_version) as (one, two):
        for node in (one, two):
            node.run("ip", "-4", "address", "flush", "dev", "eth0")
        configs = [extended(config, number) for number, config in enumerate(mesh_pair(bird_version.version), start=1)]
        start_mesh([one, two], configs)
        eventually(lambda: one.kernel_routes(4) == {"10.1.2.0/24": ["fd00::2"]})
        eventually(lambda: two.kernel_routes(4) == {"10.1.1.0/24": ["fd00::1"]})
        assert one.pings("10.1.2.1", source="10.1.1.1")


@pytest.mark.parametrize("transport", ["IPv4", "IPv6"])
def test_sessions_between_bird_versions_agree(birds: tuple[BirdProgram, ...], transport: str) -> None:
    with one_network(birds[0], birds[-1]) as (one, two):
        configs = [
            replace(config, version=node.bird.version)
            for config, node in zip(mesh_pair(birds[0].version), (one, two), strict=True)
        ]
        if transport == "IPv6":
            configs = [over_ipv6(config, number) for number, config in enumerate(configs, start=1)]
        start_mesh([one, two], configs)
        eventually(lambda: one.kernel_routes(4) and one.kernel_routes(6))
        eventually(lambda: two.kernel_routes(4) and two.kernel_routes(6))
