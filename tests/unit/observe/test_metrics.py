"""The text of /metrics."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import parse_address
from birdctl.netfilter.model import Effect
from birdctl.observe.counters import SECONDS, Counters, Histogram
from birdctl.observe.metrics import DEFINITIONS, Metrics
from birdctl.observe.sight import Sight
from birdctl.observe.state import Observed, Policies, Routing, Services, State
from birdctl.observe.traffic import ServiceTraffic
from birdctl.observe.views import FamilyCounts, Peer, PeerKind
from birdctl.policies.counters import Counter
from birdctl.policies.model import Direction
from birdctl.routing.inventory import Inventory
from birdctl.routing.state import BfdState, BirdStatus
from birdctl.services.model import Owner, Protocol, Traffic

STATE = State(
    node="a",
    routing=Routing(inventory=Inventory(node="a", digest="d", version=(), router_id=""), last_sync=1.5),
    policies=Policies(last_sync=2.5),
    services=Services(last_sync=3.5, leaving=2),
)

COUNTED = (
    Counter(policy="NetworkPolicy x/p", direction=Direction.INGRESS, effect=Effect.ALLOW, packets=3, bytes=180),
    Counter(policy="", direction=Direction.EGRESS, effect=Effect.DENY, packets=1, bytes=60),
)

WEB = ServiceTraffic(
    Owner(
        service="default/web",
        port_name="http",
        kind="ExternalIP",
        address=parse_address("203.0.113.10"),
        protocol=Protocol.TCP,
        port=80,
    ),
    Traffic(connections=2, packets_in=10, packets_out=8, bytes_in=800, bytes_out=6400, bytes_out_per_second=12),
)


def peer(name: str, kind: PeerKind, state: str = "Established", received: int = 0) -> Peer:
    families = {"ipv4": FamilyCounts(received=received), "ipv6": FamilyCounts(advertised=1)}
    return Peer(node="a", peer=name, type=kind, state=state, protocol=name, remote_as=65001, families=families)


def sight(*peers: Peer) -> Sight:
    status = BirdStatus(version=(2, 0, 12), router_id="192.0.2.1", uptime=60.0)
    bfd = (BfdState(address=parse_address("192.0.2.2"), interface="", state="up"),)
    return Sight(status=status, sessions=(), bfd=bfd, peers=peers, at=0.0)


def scrape(seen: Sight | None, counters: Counters | None = None) -> dict[str, float]:
    observed = Observed(state=STATE, sight=seen, policies=COUNTED, services=(WEB,))
    text = Metrics(lambda: observed, counters or Counters()).text().decode()
    series = re.findall(r"^(birdctl_\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in series}


def test_a_full_mesh_makes_as_many_series_as_one_mesh_session() -> None:
    one = scrape(sight(peer("b", "mesh")))
    many = scrape(sight(*(peer(f"n{number}", "mesh", received=2) for number in range(100))))
    assert one.keys() == many.keys()
    assert many['birdctl_sessions{state="Established",type="mesh"}'] == 100
    assert many['birdctl_prefixes{direction="received",family="ipv4",peer="",type="mesh"}'] == 200


def test_an_external_peer_has_series_of_its_own() -> None:
    found = scrape(sight(peer("tor1", "external", received=7), peer("tor2", "external", "Active")))
    assert found['birdctl_prefixes{direction="received",family="ipv4",peer="tor1",type="external"}'] == 7
    assert found['birdctl_peer_up{asn="65001",peer="tor1"}'] == 1
    assert found['birdctl_peer_up{asn="65001",peer="tor2"}'] == 0


def test_an_unnumbered_peer_with_two_neighbours_is_up_once() -> None:
    found = scrape(sight(peer("tor1", "external"), peer("tor1", "external", "Active")))
    assert found['birdctl_peer_up{asn="65001",peer="tor1"}'] == 1


def test_without_bird_the_agents_own_metrics_remain() -> None:
    found = scrape(None)
    assert found["birdctl_bird_up"] == 0
    assert "birdctl_passes_total" in str(found)
    assert not any(name.startswith("birdctl_sessions{") for name in found)


def test_counters_are_exported_as_counted() -> None:
    counters = Counters()
    counters.routing.results["changed"] += 2
    counters.flaps["tor1"] += 1
    counters.routing.reaction_seconds.observe(0.03)
    found = scrape(sight(), counters)
    assert found['birdctl_passes_total{result="changed"}'] == 2
    assert found['birdctl_passes_total{result="failed"}'] == 0
    assert found['birdctl_session_flaps_total{peer="tor1"}'] == 1
    assert found['birdctl_reaction_seconds_bucket{le="0.025"}'] == 0
    assert found['birdctl_reaction_seconds_bucket{le="0.05"}'] == 1
    assert found['birdctl_reaction_seconds_bucket{le="+Inf"}'] == 1


def test_policies_are_counted_by_direction_and_effect() -> None:
    found = scrape(None)
    assert found['birdctl_policy_packets_total{direction="Ingress",effect="allow",policy="NetworkPolicy x/p"}'] == 3
    assert found['birdctl_policy_bytes_total{direction="Egress",effect="deny",policy=""}'] == 60


def test_services_are_counted_apart_and_endpoints_by_the_moment_of_their_change() -> None:
    counters = Counters()
    counters.services.results["changed"] += 1
    counters.programming_seconds.observe(0.03)
    found = scrape(None, counters)
    assert found['birdctl_service_passes_total{result="changed"}'] == 1
    assert found["birdctl_network_programming_duration_seconds_count"] == 1
    assert found["birdctl_services_leaving"] == 2


def test_each_address_and_port_of_a_service_has_series_of_its_own() -> None:
    labels = 'address="203.0.113.10",namespace="default",port="80",protocol="TCP",service="web"'
    found = {name: value for name, value in scrape(None).items() if labels in name and value}
    assert found == {
        f"birdctl_service_connections_total{{{labels}}}": 2,
        f"birdctl_service_packets_in_total{{{labels}}}": 10,
        f"birdctl_service_packets_out_total{{{labels}}}": 8,
        f"birdctl_service_bytes_in_total{{{labels}}}": 800,
        f"birdctl_service_bytes_out_total{{{labels}}}": 6400,
        f"birdctl_service_bytes_out_per_second{{{labels}}}": 12,
    }


def test_every_metric_that_is_defined_is_exported_and_the_other_way_round() -> None:
    text = Metrics(lambda: Observed(state=STATE, sight=sight(peer("tor1", "external"))), Counters()).text().decode()
    exported = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if name.startswith("birdctl_")}
    assert exported == {each.name for each in DEFINITIONS}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.name)
def test_names_follow_prometheus_conventions(definition: object) -> None:
    name, kind = definition.name, definition.kind
    assert name.endswith("_total") == (kind == "counter")
    if kind == "histogram":
        assert name.endswith("_seconds")


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_every_value_in_one_bucket(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    assert sum(histogram.buckets) == len(values)
    for bound, count in zip(SECONDS, [sum(histogram.buckets[: n + 1]) for n in range(len(SECONDS))], strict=True):
        assert count == sum(value <= bound for value in values)
