"""Graceful termination: what keeps an endpoint that goes away until its connections have ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from birdctl.addresses import Address
from birdctl.services.model import Activity, ServerKey, VirtualServer


class Draining:
    """Remembers since when real servers drain."""

    def __init__(self, period: float) -> None:
        self._period = period

    @property
    def keys(self) -> frozenset[ServerKey]:
        """The virtual servers with draining real servers: `step` needs their activity and may change them."""
        return frozenset()

    def step(
        self,
        desired: Mapping[ServerKey, VirtualServer],
        known: Mapping[ServerKey, VirtualServer],
        activity: Mapping[ServerKey, Activity],
        grace: Mapping[Address, float],
        now: float,
    ) -> tuple[Mapping[ServerKey, VirtualServer], float | None]:
        """The virtual servers to have now, and when to look again."""
        return desired, None
