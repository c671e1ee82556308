"""The verdicts behind the probes: each finds what is wrong, or nothing.

livez: every loop turned lately. healthz: and BIRD answers. readyz: and the first complete sync was read back, BIRD is
through with its restart, enough sessions are Established with all their peer's routes, and the kernel lacks nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from birdctl.observe.state import Progress, Routing, State


def livez(state: State) -> str:
    stuck = min(state.domains.values(), key=lambda each: each.heartbeat)
    return "" if stuck.alive else f"the loop has not turned for {time.monotonic() - stuck.heartbeat:.0f} s"


def healthz(state: State) -> str:
    return livez(state) or (state.routing.bird_error if state.routing else "")


def readyz(state: State) -> str:
    return healthz(state) or next(filter(None, (_unready(state, each) for each in state.domains.values())), "")


def _unready(state: State, progress: Progress) -> str:
    if progress.last_sync is None:
        return progress.error or state.source_error or "waiting for the first complete sync"
    if isinstance(progress, Routing):
        if progress.sight is None or progress.sight.status.recovering:
            return "BIRD recovers from its restart"
        if not progress.enough_sessions:
            return f"{progress.sight.carrying} of {progress.configured} sessions carry their routes"
        return ""
    return "" if progress.healthy else progress.trouble or "the kernel lacks something that it refuses"


CHECKS: Mapping[str, Callable[[State], str]] = {"livez": livez, "healthz": healthz, "readyz": readyz}
