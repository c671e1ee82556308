"""`/metrics`: what the agent counted and what BIRD says, in Prometheus' text format.

Sessions with other nodes are counted together, or a full mesh would have n² series; an external peer has its own.
Loaded by the first scrape: the format's library costs more than an idle agent.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from birdctl.observe.bfd import word
from birdctl.observe.counters import SECONDS, Counters, Histogram, Passes
from birdctl.observe.sight import Sight
from birdctl.observe.state import Addresses, Observed, Policies, Routing, Services
from birdctl.observe.traffic import ServiceTraffic

Read = Callable[[], Observed]
Sample = tuple[str, tuple[str, ...], float | Histogram]

_STATES = ("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established")
_RESULTS = ("changed", "unchanged", "refused", "failed")
_DIRECTIONS = ("received", "filtered", "accepted", "advertised")


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric; `kind` is gauge, counter or histogram."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"


_OF_SERVICE = ("namespace", "service", "address", "protocol", "port")
_TOTALS = ("connections", "packets_in", "packets_out", "bytes_in", "bytes_out")
_TRAFFIC = tuple(
    definition
    for name in _TOTALS
    for definition in (
        Definition(
            f"birdctl_service_{name}_total", f"{name.replace('_', ' ')} of a service's address", _OF_SERVICE, "counter"
        ),
        Definition(f"birdctl_service_{name}_per_second", "the same, averaged by the kernel over seconds", _OF_SERVICE),
    )
)

DEFINITIONS = (
    Definition("birdctl_converged", "whether the node is what the objects say, read back"),
    Definition(
        "birdctl_healthy",
        "whether BIRD answers, enough sessions carry their routes, and the kernel lacks no policy and no service",
    ),
    Definition("birdctl_pending_changes", "changes that were found and not applied"),
    Definition("birdctl_problems", "errors of objects that were left out"),
    Definition("birdctl_source_synced", "whether every watched kind was listed completely once"),
    Definition("birdctl_source_up", "whether the API server, or the folder, is in contact"),
    Definition(
        "birdctl_last_success_timestamp_seconds", "when the node last was read back as desired, since the epoch"
    ),
    Definition("birdctl_passes_total", "routing passes: changed, unchanged, refused, failed", ("result",), "counter"),
    Definition("birdctl_pass_seconds", "duration of a routing pass that went through", kind="histogram"),
    Definition("birdctl_commit_seconds", "duration of a commit, from candidate to confirm", kind="histogram"),
    Definition(
        "birdctl_reaction_seconds", "from an object's change to its effect read back from BIRD", kind="histogram"
    ),
    Definition("birdctl_session_flaps_total", "sessions that left Established, by external peer", ("peer",), "counter"),
    Definition("birdctl_bird_up", "whether BIRD answers on its control socket"),
    Definition("birdctl_bird_info", "1, with BIRD's version and router ID", ("version", "router_id")),
    Definition("birdctl_bird_uptime_seconds", "time since BIRD started"),
    Definition("birdctl_bird_recovering", "whether BIRD waits for its peers after a restart"),
    Definition("birdctl_sessions", "BGP sessions by type and RFC 4271 state", ("type", "state")),
    Definition("birdctl_peer_up", "whether the session is Established, by external peer", ("peer", "asn")),
    Definition("birdctl_bfd_sessions", "BFD sessions by state", ("state",)),
    Definition(
        "birdctl_prefixes",
        "prefixes received, filtered, accepted and advertised; by external peer, of other types together",
        ("type", "peer", "family", "direction"),
    ),
    Definition("birdctl_originated_prefixes", "prefixes that this node originates"),
    Definition("birdctl_policy_passes_total", "policy passes: changed, unchanged, failed", ("result",), "counter"),
    Definition("birdctl_policy_pass_seconds", "duration of a policy pass that went through", kind="histogram"),
    Definition(
        "birdctl_policy_reaction_seconds", "from an object's change to its effect in the kernel", kind="histogram"
    ),
    Definition(
        "birdctl_policy_packets_total",
        "first packets of connections, by what each policy made of them: allow, deny, pass, would-deny (staged);"
        " without a policy: refused since none allowed them",
        ("policy", "direction", "effect"),
        "counter",
    ),
    Definition("birdctl_policy_bytes_total", "their bytes", ("policy", "direction", "effect"), "counter"),
    Definition(
        "birdctl_service_passes_total", "service passes: changed, unchanged, refused, failed", ("result",), "counter"
    ),
    Definition("birdctl_service_pass_seconds", "duration of a service pass that went through", kind="histogram"),
    Definition(
        "birdctl_service_reaction_seconds", "from an object's change to its effect in the kernel", kind="histogram"
    ),
    Definition(
        "birdctl_network_programming_duration_seconds",
        "from an endpoint's change, as its EndpointSlice has it, to its effect in the kernel",
        kind="histogram",
    ),
    Definition("birdctl_services_unprogrammed", "virtual servers and addresses that the kernel refuses"),
    Definition("birdctl_services_leaving", "virtual servers that wait for BGP to withdraw their address"),
    Definition("birdctl_virtual_servers", "virtual servers of birdctl in IPVS"),
    Definition("birdctl_real_servers", "endpoints behind them, each as often as it is behind one"),
    *_TRAFFIC,
    Definition(
        "birdctl_loadbalancer_passes_total",
        "passes over load balancer addresses: changed, unchanged, refused, failed",
        ("result",),
        "counter",
    ),
    Definition("birdctl_loadbalancer_pass_seconds", "duration of such a pass that went through", kind="histogram"),
    Definition(
        "birdctl_loadbalancer_reaction_seconds", "from an object's change to all addresses written", kind="histogram"
    ),
    Definition("birdctl_loadbalancer_leader", "whether this agent gives load balancer addresses"),
    Definition("birdctl_loadbalancer_addresses", "addresses of a pool; told by the leader", ("pool", "family")),
    Definition("birdctl_loadbalancer_addresses_assigned", "those that are taken", ("pool", "family")),
    Definition("birdctl_policies_unprogrammed", "policies that are not in the kernel; their pods are closed"),
    Definition("birdctl_policy_chains", "iptables chains of birdctl, both families"),
    Definition("birdctl_policy_rules", "iptables rules of birdctl, both families"),
    Definition("birdctl_policy_sets", "ipsets of birdctl"),
    Definition("birdctl_policy_entries", "entries of birdctl's ipsets"),
)


class Metrics:
    """Everything the agent exports. `read` gives what there is to export."""

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
        found: dict[str, list[Sample]] = {}
        for sample in samples(self._read(), self._counters):
            found.setdefault(sample[0], []).append(sample)
        for definition in DEFINITIONS:
            yield _metric(definition, found.get(definition.name, []))


def samples(observed: Observed, counters: Counters) -> Iterator[Sample]:
    """Name, label values and value of every series there is now."""
    state = observed.state
    yield "birdctl_converged", (), state.converged
    yield "birdctl_healthy", (), state.healthy
    yield "birdctl_pending_changes", (), sum(each.pending for each in state.domains.values())
    yield "birdctl_problems", (), len(state.problems)
    yield "birdctl_source_synced", (), state.synced
    yield "birdctl_source_up", (), not state.source_error
    if state.last_sync is not None:
        yield "birdctl_last_success_timestamp_seconds", (), state.last_sync
    if state.routing:
        yield from _of_routing(state.routing, observed.sight, counters)
    if state.services:
        yield from _of_services(state.services, counters)
        yield from chain.from_iterable(map(_of_traffic, observed.services))
    if state.addresses:
        yield from _of_addresses(state.addresses, counters)
    if state.policies:
        yield from _of_policies(state.policies, counters)
        for each in observed.policies:
            labels = (each.policy, each.direction.value, each.effect.value)
            yield "birdctl_policy_packets_total", labels, each.packets
            yield "birdctl_policy_bytes_total", labels, each.bytes


def _of_services(services: Services, counters: Counters) -> Iterator[Sample]:
    yield from _of_passes("birdctl_service", counters.services)
    yield "birdctl_network_programming_duration_seconds", (), counters.programming_seconds
    yield "birdctl_services_unprogrammed", (), len(services.unprogrammed)
    yield "birdctl_services_leaving", (), services.leaving
    if services.desired:
        servers = services.desired.virtual_servers
        yield "birdctl_virtual_servers", (), len(servers)
        yield "birdctl_real_servers", (), sum(len(each.real_servers) for each in servers.values())


def _of_traffic(service: ServiceTraffic) -> Iterator[Sample]:
    owner = service.owner
    namespace, _, name = owner.service.rpartition("/")
    labels = (namespace, name, str(owner.address), owner.protocol.value, str(owner.port))
    for each in _TOTALS:
        yield f"birdctl_service_{each}_total", labels, getattr(service.traffic, each)
        yield f"birdctl_service_{each}_per_second", labels, getattr(service.traffic, f"{each}_per_second")


def _of_addresses(addresses: Addresses, counters: Counters) -> Iterator[Sample]:
    yield from _of_passes("birdctl_loadbalancer", counters.loadbalancer)
    yield "birdctl_loadbalancer_leader", (), addresses.leads
    for pool, families in addresses.usage.items():
        for family, usage in families.items():
            yield "birdctl_loadbalancer_addresses", (pool, family.label), usage.total
            yield "birdctl_loadbalancer_addresses_assigned", (pool, family.label), usage.assigned


def _of_routing(routing: Routing, sight: Sight | None, counters: Counters) -> Iterator[Sample]:
    yield "birdctl_originated_prefixes", (), sum(map(len, routing.inventory.originated.values()))
    yield from _of_passes("birdctl", counters.routing)
    yield "birdctl_commit_seconds", (), counters.commit_seconds
    for peer, count in tuple(counters.flaps.items()):  # the loop may add one
        yield "birdctl_session_flaps_total", (peer,), count
    yield "birdctl_bird_up", (), sight is not None
    if sight:
        yield from _of_bird(sight)
        yield from _of_sessions(sight)
        yield from _of_prefixes(sight)


def _of_policies(policies: Policies, counters: Counters) -> Iterator[Sample]:
    yield from _of_passes("birdctl_policy", counters.policies)
    yield "birdctl_policies_unprogrammed", (), len(policies.unprogrammed)
    if policies.desired:
        chains = [chain for table in policies.desired.tables.values() for chain in table.chains.values()]
        sets = policies.desired.sets.values()
        yield "birdctl_policy_chains", (), len(chains)
        yield "birdctl_policy_rules", (), sum(len(each.rules) for each in chains)
        yield "birdctl_policy_sets", (), len(sets)
        yield "birdctl_policy_entries", (), sum(len(each.entries) for each in sets)


def _of_passes(prefix: str, passes: Passes) -> Iterator[Sample]:
    for result in _RESULTS:
        yield f"{prefix}_passes_total", (result,), passes.results[result]
    yield f"{prefix}_pass_seconds", (), passes.seconds
    yield f"{prefix}_reaction_seconds", (), passes.reaction_seconds


def _of_bird(sight: Sight) -> Iterator[Sample]:
    yield "birdctl_bird_info", (".".join(map(str, sight.status.version)), sight.status.router_id), 1
    yield "birdctl_bird_uptime_seconds", (), sight.status.uptime
    yield "birdctl_bird_recovering", (), sight.status.recovering


def _of_sessions(sight: Sight) -> Iterator[Sample]:
    tally = Tally((each.type, each.state) for each in sight.peers)
    for kind in sorted({each.type for each in sight.peers}):
        for name in _STATES:
            yield "birdctl_sessions", (kind, name), tally[kind, name]
    up = Tally[tuple[str, str]]()
    for each in sight.peers:
        if each.type == "external":
            up[each.peer, str(each.remote_as)] |= each.state == "Established"
    for labels, is_up in up.items():
        yield "birdctl_peer_up", labels, is_up
    for name, count in Tally(map(word, sight.bfd)).items():
        yield "birdctl_bfd_sessions", (name,), count


def _of_prefixes(sight: Sight) -> Iterator[Sample]:
    sums: Tally[tuple[str, ...]] = Tally()
    for each in sight.peers:
        peer = each.peer if each.type == "external" else ""
        for family, counts in each.families.items():
            for direction in _DIRECTIONS:
                sums[each.type, peer, family, direction] += getattr(counts, direction)
    for labels, count in sorted(sums.items()):
        yield "birdctl_prefixes", labels, count


def _metric(definition: Definition, found: list[Sample]) -> Metric:
    name, text, labels = definition.name, definition.help, definition.labels
    if definition.kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for _, values, value in found:
            assert isinstance(value, Histogram)
            counts = zip([*map(str, SECONDS), "+Inf"], accumulate(value.buckets), strict=True)
            histogram.add_metric(values, list(counts), value.sum)
        return histogram
    family = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    metric = family(name, text, labels=labels)
    for _, values, value in found:
        assert not isinstance(value, Histogram)
        metric.add_metric(values, float(value))
    return metric
