"""What the agent counts while it works, as plain numbers; `metrics` turns them into text."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets."""


@dataclass(slots=True)
class Histogram:
    """Seconds by bucket, as Prometheus counts them; the last bucket is everything above."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


@dataclass(slots=True)
class Passes:
    """Of one domain. `results`: changed, unchanged, refused, failed; `reaction_seconds` from the change of an object to
    its effect read back.
    """

    results: Counter[str] = field(default_factory=Counter)
    seconds: Histogram = field(default_factory=Histogram)
    reaction_seconds: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Counters:
    """`flaps` by external peer; `programming_seconds` from an endpoint's change, as its controller wrote it down, until
    it was programmed.
    """

    routing: Passes = field(default_factory=Passes)
    policies: Passes = field(default_factory=Passes)
    services: Passes = field(default_factory=Passes)
    loadbalancer: Passes = field(default_factory=Passes)
    programming_seconds: Histogram = field(default_factory=Histogram)
    commit_seconds: Histogram = field(default_factory=Histogram)
    flaps: Counter[str] = field(default_factory=Counter)
