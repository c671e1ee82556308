"""When endpoints changed that a pass programs, as the controller of EndpointSlices wrote it on them.

The annotation says when the Pod or Service changed for which the slice was written; what was there before the agent
is nobody's delay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from birdctl.cluster.objects import EndpointSlice
from birdctl.cluster.store import Cluster, Key

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class Triggers:
    """The changes that no pass has programmed yet."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._pending: list[str] = []

    def take(self, cluster: Cluster, news: Collection[Key], *, first: bool) -> None:
        """Looks at what is new in the cluster; `first`: at what was there before."""
        for kind, key in news:
            if kind != EndpointSlice.__name__:
                continue
            found = cluster.get(EndpointSlice, key)
            moment = found.metadata.annotations.get(ANNOTATION, "") if found else ""
            if moment and moment != self._known.get(key) and not first:
                self._pending.append(moment)
            self._known[key] = moment
            if not moment:
                del self._known[key]

    def programmed(self, now: float) -> Iterator[float]:
        """How many seconds each pending change took; `now` since the epoch. Clocks of two machines may disagree."""
        pending, self._pending = self._pending, []
        for moment in pending:
            try:
                yield max(0.0, now - datetime.fromisoformat(moment).timestamp())
            except ValueError:
                continue  # somebody else's text
