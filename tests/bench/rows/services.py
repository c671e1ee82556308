"""Services on a node in a cluster of 20 nodes, 1,000 pods and 1,000 services of 10 endpoints.

The node and its agent are real, in user-mode Linux where the kernel has no IPVS; everything else is objects of a real
API server beyond the node's network.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench.guest import churn, measure
from tests.bench.report import Measured, Row, Samples, duration, percentile, spread
from tests.bench.service_objects import Size
from tests.bench.serving import documents

_SIZE, _LARGE = Size(), Size(services=10_000)
_P50, _P99 = 0.025, 0.100
_CHURN_SHARE = 15.0


def _sync(scratch: Path) -> Measured:
    samples = measure(scratch, "sync", _SIZE)
    shown = f"{spread(samples['pass'])}; from the start of the agent {spread(samples['agent started'])}"
    return Measured(value=statistics.median(samples["pass"]), shown=shown, samples=samples)


def _endpoint(scratch: Path) -> Measured:
    return _latency(measure(scratch, "endpoint", _SIZE))


def _latency(samples: Samples) -> Measured:
    seconds, lost = samples["seconds"], int(samples["lost"][0])
    middle, tail = percentile(seconds, 50), percentile(seconds, 99)
    value = max(middle / _P50, tail / _P99, math.inf if lost else 0.0)
    shown = f"p50 {duration(middle)}, p99 {duration(tail)} of {len(seconds)}, {lost} lost"
    return Measured(value=value, shown=shown, samples=samples)


def _scale(scratch: Path) -> Measured:
    samples: dict[str, Sequence[float]] = {}
    for name, size in (("small", _SIZE), ("large", _LARGE)):
        folder = scratch / name
        folder.mkdir()
        found = measure(folder, "endpoint", size)
        assert not found["lost"][0], f"{found['lost'][0]} changes lost at {size}"
        samples[name] = found["seconds"]
    middle, tail = (percentile(samples["large"], each) / percentile(samples["small"], each) for each in (50, 99))
    small, large = (duration(percentile(samples[name], 50)) for name in ("small", "large"))
    return Measured(value=middle, shown=f"{middle:.2f} x (p50 {small} -> {large}; p99 {tail:.2f} x)", samples=samples)


def _churn(scratch: Path) -> Measured:
    samples = churn(scratch, _SIZE)
    share = samples["cpu seconds"][0] / samples["seconds"][0] * 100
    shown = f"{share:.1f} % ({samples['cpu seconds'][0]:.2f} s in {samples['seconds'][0]:.1f} s)"
    return Measured(value=share, shown=shown, samples=samples)


def _resync(scratch: Path) -> Measured:
    samples = measure(scratch, "resync", _SIZE)
    return Measured(value=statistics.median(samples["pass"]), shown=spread(samples["pass"]), samples=samples)


def _memory(scratch: Path) -> Measured:
    samples = churn(scratch, _SIZE)
    started, used = samples["resident"]
    return Measured(
        value=max(started, used), shown=f"{started:.0f} MB, {used:.0f} MB after 1,000 changes", samples=samples
    )


def _requests(scratch: Path) -> Measured:
    samples = measure(scratch, "requests", _SIZE, documents())
    ratios = {
        kind: statistics.median(
            theirs / ours for ours, theirs in zip(samples[f"{kind} birdctl"], samples[f"{kind} ipvsadm"], strict=True)
        )
        for kind in ("ClusterIP", "NodePort")
    }
    shown = ", ".join(f"{kind} {ratio:.3f}" for kind, ratio in ratios.items())
    return Measured(value=1 / min(ratios.values()), shown=shown, samples=samples)


SYNC = Row(
    name="services-sync",
    what="services: first sync, 1,000 services x 10 endpoints",
    peer="9.9 s",
    goal=0.6,
    goal_shown="<= 0.6 s",
    measure=_sync,
)
ENDPOINT = Row(
    name="services-endpoint",
    what="one endpoint changed -> in /proc/net/ip_vs",
    peer="27-33 s; 2.1 s at 200 x 5",
    goal=1.0,
    goal_shown="p50 <= 25 ms, p99 <= 100 ms",
    measure=_endpoint,
)
SCALE = Row(
    name="services-scale",
    what="the same at 10,000 services x 10 endpoints",
    peer="-",
    goal=1.5,
    goal_shown="<= 1.5 x",
    measure=_scale,
)
CHURN = Row(
    name="services-churn",
    what="1,000 endpoint changes at 50/s, CPU",
    peer="one core throughout",
    goal=15.0,
    goal_shown="<= 15 % of a core",
    measure=_churn,
)
RESYNC = Row(
    name="services-resync",
    what="resync of services with nothing to do",
    peer="27-33 s",
    goal=0.3,
    goal_shown="<= 0.3 s",
    measure=_resync,
)
MEMORY = Row(
    name="services-memory",
    what="resident memory of the agent that proxies services",
    peer="83 MB",
    goal=70,
    goal_shown="<= 70 MB",
    measure=_memory,
)
REQUESTS = Row(
    name="services-requests",
    what="requests a second through ClusterIP and NodePort, against services that ipvsadm made",
    peer="-",
    goal=1 / 0.98,
    goal_shown=">= 0.98",
    measure=_requests,
)
