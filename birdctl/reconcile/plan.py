"""What a pass is about to do, for people and for programs. Holds no secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from birdctl.errors import InputError, UnsafePlan
from birdctl.routing.impact import Impact


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """From the configuration that runs (its digest, None when it is not ours) to the desired one.

    `problems` are the objects left out; `refusals` the reasons not to do it without force, each with its numbers.
    """

    node: str
    running: str | None
    desired: str
    impact: Impact = Impact()
    problems: tuple[InputError, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self.running != self.desired

    @property
    def size(self) -> int:
        return int(self.changes)

    def summary(self) -> str:
        return f"{self.running} -> {self.desired}"

    def document(self) -> dict[str, Any]:
        return {"running": self.running, "desired": self.desired}

    def check(self) -> None:
        """Raises UnsafePlan if it refuses itself."""
        if self.refusals:
            raise UnsafePlan(f"refused: {'; '.join(self.refusals)} (--force overrides)")
