"""What a process costs, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_MEGABYTE = 1024  # of the kernel's kB


@dataclass(frozen=True)
class Memory:
    """RSS and PSS of a process, in MB (2^20 bytes)."""

    resident: float
    proportional: float


def memory(process: int) -> Memory:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return Memory(sizes["Rss"] / _MEGABYTE, sizes["Pss"] / _MEGABYTE)


def cpu_seconds(process: int) -> float:
    """CPU time of all living threads, to the nanosecond."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def cpu_seconds_with_children(process: int) -> float:
    """CPU time of all threads and of the children that ended, in hundredths."""
    return sum(_times(process)) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_tree(process: int) -> float:
    """The same of the process and everything below it."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    children = (child for task in tasks for child in (task / "children").read_text().split())
    return cpu_seconds_with_children(process) + sum(cpu_seconds_of_tree(int(child)) for child in children)


def user_seconds(process: int) -> float:
    """CPU time of all threads outside of the kernel, in hundredths."""
    return _times(process)[0] / os.sysconf("SC_CLK_TCK")


def _times(process: int) -> list[int]:
    """Of the process: outside of the kernel, in it; of its children that ended: the same."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [*map(int, fields[11:15])]


def wake_ups(process: int) -> int:
    """How often its living threads went to sleep of their own will."""
    lines = (
        line for task in Path(f"/proc/{process}/task").iterdir() for line in (task / "status").read_text().splitlines()
    )
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
