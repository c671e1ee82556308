"""What a row says, and the table and file made of it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`value` is compared with the goal; `shown` is the cell of the table; `samples` is everything, by what it is."""

    value: float
    shown: str
    samples: Samples


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `peer` is kube-router's figure; `goal` in the unit that `measure` returns."""

    name: str
    what: str
    peer: str
    goal: float
    goal_shown: str
    measure: Callable[[Path], Measured]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A row measured, or the reason why it could not be."""

    row: Row
    measured: Measured | None
    error: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        shown = self.measured.shown if self.measured else f"failed: {self.error}"
        return self.row.what, self.row.peer, self.row.goal_shown, shown, "yes" if self.met else "NO"

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured.value <= self.row.goal


def spread(seconds: Sequence[float]) -> str:
    """`1.05 s (worst of 6: 1.12 s)`; below a tenth of a second in milliseconds."""
    middle, worst = statistics.median(seconds), max(seconds)
    return f"{duration(middle)} (worst of {len(seconds)}: {duration(worst)})"


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def percentile(samples: Sequence[float], percent: int) -> float:
    """The smallest sample that `percent` % do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, as in the README."""
    head = ("what", "kube-router", "to reach", "measured", "met")
    rows = [head, *(outcome.cells for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Every sample, with the machine and the versions it was taken on."""
    return json.dumps({"machine": _machine(), "rows": [_row(outcome) for outcome in outcomes]}, indent=1)


def _row(outcome: Outcome) -> dict[str, Any]:
    measured = outcome.measured
    return {
        "name": outcome.row.name,
        "what": outcome.row.what,
        "goal": outcome.row.goal,
        "value": measured.value if measured else None,
        "met": outcome.met,
        "error": outcome.error,
        "samples": {what: list(values) for what, values in measured.samples.items()} if measured else {},
    }


def _machine() -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "loadAverage": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "birdctl": _output("git", "describe", "--always", "--dirty"),
        "bird": _output("bird", "--version"),
        "kubeApiserver": _output(os.environ.get("KUBE_APISERVER", "kube-apiserver"), "--version"),
        "etcd": _output("etcd", "--version").partition("\n")[0],
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (result.stdout + result.stderr).strip()
