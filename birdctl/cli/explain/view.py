"""What all of `birdctl explain …` share: how steps are shown, what an agent gets time for, and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from birdctl.cli import show, tables
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.cluster.bgp import API_VERSION
from birdctl.errors import BirdctlError, NotConverged
from birdctl.observe.views import Step
from birdctl.reconcile import control

_SYNC_SECONDS = 10.0
"""How long an agent may take to carry out what the objects say now, before a difference is one."""
_WORDS = {True: "yes", False: "no", None: ""}
_COLUMNS: tuple[Column[Step], ...] = (
    Column("", lambda step: step.subject),
    Column("", lambda step: _WORDS[step.holds], tone=lambda step: "good" if step.holds else "bad"),
    Column("", lambda step: step.text),
)


class Explained(Protocol):
    """Something with its steps."""

    @property
    def steps(self) -> tuple[Step, ...]: ...


class Compared(Explained, Protocol):
    """`agrees`: the kernel has what the objects say, None when it was not read."""

    @property
    def agrees(self) -> bool | None: ...


E = TypeVar("E", bound=Explained)
C = TypeVar("C", bound=Compared)


@dataclass(frozen=True, kw_only=True)
class ExplanationView(View[E, Step]):
    """A heading and the steps; an only answer stands alone, not in a list."""

    heading: Callable[[E], str]

    def table(self, items: Sequence[E], *, wide: bool, headers: bool) -> list[str]:  # noqa: ARG002
        return [
            line
            for item in items
            for line in (self.heading(item), *tables.lines(_COLUMNS, item.steps, wide=False, headers=False))
        ]

    def document(self, items: Sequence[E]) -> dict[str, Any]:
        several = super().document(items)
        head = {"apiVersion": API_VERSION, "kind": self.kind.removesuffix("List")}
        return {**head, **several["items"][0]} if len(items) == 1 else several

    def answer(self, items: Sequence[E], form: str) -> None:
        """On stdout, in the form text, json or yaml."""
        self.print(items, "table" if form == "text" else form)


def answer(view: ExplanationView[C], found: Sequence[C], form: str, failures: Iterable[str], disagreement: str) -> int:
    """Prints it; the exit code: 2 when something of a node could not be read. Raises NotConverged, saying
    `disagreement`, where the kernel has something else than the objects say.
    """
    view.answer(found, form)
    if any(each.agrees is False for each in found):
        raise NotConverged(disagreement)
    unread = [step.text for each in found for step in each.steps if step.text.startswith("cannot be read")]
    failures = dict.fromkeys((*failures, *unread))
    show.report(failures)
    return 2 if failures else 0


def synced(asked: Iterable[Place]) -> bool:
    """Whether an agent was waited for: it takes a moment until its node is what the objects say."""
    waited = False
    for place in asked:
        try:
            control.ask(place.runtime_dir, "sync", timeout=_SYNC_SECONDS)
            waited = True
        except BirdctlError:
            continue  # then what was found stands
    return waited
