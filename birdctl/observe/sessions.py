"""The sessions that were configured, each with what BIRD makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from birdctl.routing.inventory import Inventory, SessionNames, of_protocol
from birdctl.routing.state import SessionState


@dataclass(frozen=True, slots=True)
class Session:
    """`protocol` is the configured one; `state` has the running one, and is None when BIRD does not run it."""

    protocol: str
    names: SessionNames
    state: SessionState | None

    @property
    def is_up(self) -> bool:
        return self.state is not None and self.state.state == "Established"

    @property
    def down(self) -> str:
        """Why it is not up, as the rest of a sentence."""
        if self.state is None:
            return "BIRD does not run its session"
        return f"its session is {self.state.state}{f' ({self.state.last_error})' if self.state.last_error else ''}"


def sessions(inventory: Inventory, states: Iterable[SessionState]) -> Iterator[Session]:
    """One per configured session, by protocol; of an unnumbered peer one per neighbour that was found."""
    own_name = {protocol: protocol for protocol in inventory.sessions}
    running: dict[str, list[SessionState | None]] = {}
    for state in states:
        running.setdefault(of_protocol(own_name, state.protocol) or "", []).append(state)
    for protocol, names in sorted(inventory.sessions.items()):
        for found in running.get(protocol, [None]):
            yield Session(protocol, names, found)
