"""Network policies on a node with 100 pods, in a cluster of 1,000 pods, 200 policies and 10 namespaces.

One node is real, its agent included; pods and other nodes are objects of a real API server, as that is all that the
agent sees of them.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.firewall import Tiers, firewall
from tests.bench.policy_objects import Size
from tests.bench.proc import cpu_seconds_with_children, memory
from tests.bench.report import Measured, Row, duration, percentile, spread

_SIZE = Size()
_LARGE = Size(pods=10_000, policies=2_000, nodes=101)
_STARTS = 5
_CHANGES = 1_000
_CHANGES_TO_COMPARE = 200
_PAUSE = 0.03
_LOST_SECONDS = 10.0
_CHURN, _CHURN_RATE = 300, 20.0
_SETTLE_SECONDS = 3.0
_P50, _P99 = 0.020, 0.080
_LINES, _SETS = 500, 200


def _sync(scratch: Path) -> Measured:
    passes, starts = [], []
    with firewall(scratch, _SIZE) as (node, _):
        for _run in range(_STARTS):
            starts.append(node.start())
            passes.append(node.last_pass())
            node.stop()
    middle = statistics.median(passes)
    shown = f"{spread(passes)}; from the start of the agent {spread(starts)}"
    return Measured(value=middle, shown=shown, samples={"pass": passes, "agent started": starts})


def _label(scratch: Path) -> Measured:
    seconds, lost = _changes(scratch, _SIZE, _CHANGES)
    middle, tail = percentile(seconds, 50), percentile(seconds, 99)
    value = max(middle / _P50, tail / _P99, math.inf if lost else 0.0)
    shown = f"p50 {duration(middle)}, p99 {duration(tail)}, {lost} lost of {_CHANGES:,}"
    return Measured(value=value, shown=shown, samples={"seconds": seconds, "lost": [lost]})


def _scale(scratch: Path) -> Measured:
    samples: dict[str, Sequence[float]] = {}
    for name, size in (("small", _SIZE), ("large", _LARGE)):
        folder = scratch / name
        folder.mkdir()
        seconds, lost = _changes(folder, size, _CHANGES_TO_COMPARE)
        samples[name] = seconds
        assert not lost, f"{lost} changes lost at {size}"
    ratio, tails = (_ratio(samples, percent) for percent in (50, 99))
    small, large = (duration(percentile(samples[name], 50)) for name in ("small", "large"))
    shown = f"{ratio:.2f} x (p50 {small} -> {large}; p99 {tails:.2f} x)"
    return Measured(value=ratio, shown=shown, samples=samples)


def _ratio(samples: Mapping[str, Sequence[float]], percent: int) -> float:
    return percentile(samples["large"], percent) / percentile(samples["small"], percent)


def _changes(scratch: Path, size: Size, count: int) -> tuple[list[float], int]:
    """Seconds of each change that the kernel had in the end, and how many it did not have."""
    pods = random.Random(4)  # the same pods in every run
    with firewall(scratch, size) as (node, api):
        node.start()
        tiers = Tiers(api, node, size)
        seconds = []
        for _change in range(count):
            seconds.append(tiers.seconds_to_change(pods.choice(size.remote), _LOST_SECONDS))
            time.sleep(_PAUSE)
        assert not tiers.wrong() or None in seconds
    return [each for each in seconds if each is not None], seconds.count(None)


def _churn(scratch: Path) -> Measured:
    with firewall(scratch, _SIZE) as (node, api):
        node.start()
        tiers = Tiers(api, node, _SIZE)
        time.sleep(_SETTLE_SECONDS)
        used = cpu_seconds_with_children(node.process)
        begun = time.monotonic()
        for number, pod in enumerate(itertools.islice(itertools.cycle(_SIZE.remote), _CHURN), start=1):
            tiers.change(pod)
            time.sleep(max(0.0, begun + number / _CHURN_RATE - time.monotonic()))
        time.sleep(_SETTLE_SECONDS)
        used = cpu_seconds_with_children(node.process) - used
        wrong = tiers.wrong()
    assert not wrong, f"{wrong} sets are not as the pods' labels say"
    return Measured(value=used, shown=f"{used:.2f} s", samples={"seconds": [used]})


def _kernel(scratch: Path) -> Measured:
    with firewall(scratch, _SIZE) as (node, _):
        node.start()
        lines, sets = node.lines(), node.sets()
    ipv4 = lines["iptables"]
    value = max(ipv4 / _LINES, len(sets) / _SETS)
    shown = f"{ipv4} / {len(sets)} (and {lines['ip6tables']} lines of ip6tables)"
    samples = {**{family: [float(count)] for family, count in lines.items()}, "sets": [float(len(sets))]}
    return Measured(value=value, shown=shown, samples=samples)


def _memory(scratch: Path) -> Measured:
    with firewall(scratch, _SIZE) as (node, api):
        node.start()
        time.sleep(_SETTLE_SECONDS)
        started = memory(node.process).resident
        tiers = Tiers(api, node, _SIZE)
        for pod in _SIZE.remote[:_CHURN]:
            tiers.change(pod)
        time.sleep(_SETTLE_SECONDS)
        used = memory(node.process).resident
    shown = f"{started:.0f} MB, {used:.0f} MB after {_CHURN} label changes"
    return Measured(value=max(started, used), shown=shown, samples={"started": [started], "used": [used]})


SYNC = Row(
    name="policies-sync",
    what="policies: full sync, 100 pods on the node, 1,000 in the cluster, 200 policies",
    peer="1.38 s",
    goal=0.3,
    goal_shown="<= 0.3 s",
    measure=_sync,
)
LABEL = Row(
    name="policies-label",
    what="a pod's label changes -> in the kernel",
    peer="p50 0.9-1.7 s; 4 of 24 changes not there after 60 s",
    goal=1.0,
    goal_shown="p50 <= 20 ms, p99 <= 80 ms, none lost of 1,000",
    measure=_label,
)
CHURN = Row(
    name="policies-churn",
    what="300 label changes at 20/s, CPU",
    peer="18.3 s",
    goal=0.6,
    goal_shown="<= 0.6 s",
    measure=_churn,
)
KERNEL = Row(
    name="policies-kernel",
    what="iptables lines / ipsets",
    peer="3,333 / 1,000",
    goal=1.0,
    goal_shown="<= 500 / <= 200",
    measure=_kernel,
)
MEMORY = Row(
    name="policies-memory",
    what="resident memory of the agent that enforces policies",
    peer="107-118 MB",
    goal=70,
    goal_shown="<= 70 MB",
    measure=_memory,
)
SCALE = Row(
    name="policies-scale",
    what="the same label change with 10,000 pods, 2,000 policies",
    peer="-",
    goal=3.0,
    goal_shown="<= 3 x",
    measure=_scale,
)
