"""The verdicts behind the probes: each finds what is wrong, or nothing.

livez: the loop turned lately. healthz: and BIRD answers. readyz: and the first complete sync was read back, BIRD is
through with its restart, and enough sessions are Established with all their peer's routes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from birdctl.observe.state import State


def livez(state: State) -> str:
    return "" if state.alive else f"the loop has not turned for {time.monotonic() - state.heartbeat:.0f} s"


def healthz(state: State) -> str:
    return livez(state) or state.bird_error


def readyz(state: State) -> str:
    if wrong := healthz(state):
        return wrong
    if state.last_sync is None:
        return state.error or state.source_error or "waiting for the first complete sync"
    if state.sight is None or state.sight.status.recovering:
        return "BIRD recovers from its restart"
    if not state.enough_sessions:
        return f"{state.sight.carrying} of {state.configured} sessions carry their routes"
    return ""


CHECKS: Mapping[str, Callable[[State], str]] = {"livez": livez, "healthz": healthz, "readyz": readyz}
