"""`/metrics`: what the agent counted and what BIRD says, in Prometheus' text format.

Sessions with other nodes are counted together, or a full mesh would have n² series; an external peer has its own.
Loaded by the first scrape: the format's library costs more than an idle agent.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from birdctl.observe.counters import SECONDS, Counters, Histogram
from birdctl.observe.sight import Sight
from birdctl.observe.state import State

STATES = ("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established")
RESULTS = ("changed", "unchanged", "refused", "failed")

Read = Callable[[], tuple[State, Sight | None]]


class Metrics:
    """Everything the agent exports. `read` gives its state and a fresh sight of BIRD, None when BIRD is away."""

    def __init__(self, read: Read, counters: Counters) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_AgentCollector(read, counters))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _AgentCollector(Collector):
    def __init__(self, read: Read, counters: Counters) -> None:
        self._read = read
        self._counters = counters

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask BIRD."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        state, sight = self._read()
        yield from _of_agent(state)
        yield from _counted(self._counters)
        yield _gauge("birdctl_bird_up", "Whether BIRD answers on its control socket", sight is not None)
        if sight:
            yield from _of_bird(sight)
            yield from _of_sessions(sight)
            yield from _of_prefixes(sight, state)


def _of_agent(state: State) -> Iterator[Metric]:
    yield _gauge("birdctl_converged", "Whether BIRD runs what the objects say, read back", state.converged)
    yield _gauge("birdctl_healthy", "Whether BIRD answers and enough sessions carry their routes", state.healthy)
    yield _gauge("birdctl_problems", "Objects left out because they cannot be understood", len(state.problems))
    yield _gauge("birdctl_pending_changes", "Changes found and not applied", state.pending)
    yield _gauge("birdctl_source_synced", "Whether every watched kind was listed completely once", state.synced)
    yield _gauge("birdctl_source_up", "Whether the API server or the folder is in contact", not state.source_error)
    if state.last_sync is not None:
        text = "When BIRD last was read back as desired, seconds since the epoch"
        yield _gauge("birdctl_last_success_timestamp_seconds", text, state.last_sync)


def _counted(counters: Counters) -> Iterator[Metric]:
    passes = CounterMetricFamily("birdctl_passes", "Passes by result", labels=["result"])
    for result in RESULTS:
        passes.add_metric([result], counters.passes[result])
    yield passes
    yield _histogram("birdctl_pass_seconds", "Duration of a pass that went through", counters.pass_seconds)
    yield _histogram(
        "birdctl_commit_seconds", "Duration of a commit, from candidate to confirm", counters.commit_seconds
    )
    text = "Time from the change of an object to its effect read back from BIRD"
    yield _histogram("birdctl_reaction_seconds", text, counters.reaction_seconds)
    flaps = CounterMetricFamily(
        "birdctl_session_flaps", "Times a session left Established, by external peer", labels=["peer"]
    )
    for peer, count in sorted(counters.flaps.items()):
        flaps.add_metric([peer], count)
    yield flaps


def _of_bird(sight: Sight) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "birdctl_bird_info", "Version and router ID of BIRD; always 1", labels=["version", "router_id"]
    )
    info.add_metric([".".join(map(str, sight.status.version)), sight.status.router_id], 1)
    yield info
    yield _gauge("birdctl_bird_uptime_seconds", "Time since BIRD started", sight.status.uptime)
    yield _gauge("birdctl_bird_recovering", "Whether BIRD waits for peers after its restart", sight.status.recovering)


def _of_sessions(sight: Sight) -> Iterator[Metric]:
    tally = Tally((each.type, each.state) for each in sight.peers)
    sessions = GaugeMetricFamily(
        "birdctl_sessions", "BGP sessions by type and RFC 4271 state", labels=["type", "state"]
    )
    for kind in sorted({each.type for each in sight.peers}):
        for word in STATES:
            sessions.add_metric([kind, word], tally[kind, word])
    yield sessions
    up = GaugeMetricFamily(
        "birdctl_peer_up", "Whether the session is Established, by external peer", labels=["peer", "asn"]
    )
    for each in sight.peers:
        if each.type == "external":
            up.add_metric([each.peer, str(each.remote_as)], each.state == "Established")
    yield up
    bfd = GaugeMetricFamily("birdctl_bfd_sessions", "BFD sessions by state", labels=["state"])
    for word, count in sorted(Tally(each.state for each in sight.bfd).items()):
        bfd.add_metric([word], count)
    yield bfd


def _of_prefixes(sight: Sight, state: State) -> Iterator[Metric]:
    """By external peer; other types are summed up under an empty peer."""
    sums: Tally[tuple[str, str, str, str]] = Tally()
    for each in sight.peers:
        for family, counts in each.families.items():
            for direction in ("received", "filtered", "accepted", "advertised"):
                peer = each.peer if each.type == "external" else ""
                sums[each.type, peer, family, direction] += getattr(counts, direction)
    labels = ["type", "peer", "family", "direction"]
    prefixes = GaugeMetricFamily(
        "birdctl_prefixes", "Prefixes by external peer, of other types together", labels=labels
    )
    for key, count in sorted(sums.items()):
        prefixes.add_metric(key, count)
    yield prefixes
    originated = sum(map(len, state.inventory.originated.values()))
    yield _gauge("birdctl_originated_prefixes", "Prefixes that this node originates", originated)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, SECONDS), "+Inf"]
    counts = accumulate(histogram.buckets)
    return HistogramMetricFamily(name, text, buckets=list(zip(bounds, counts, strict=True)), sum_value=histogram.sum)
