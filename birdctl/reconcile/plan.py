"""What a pass is about to do, for people and for programs. Holds no secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from birdctl.errors import InputError, UnsafePlan
from birdctl.observe.listing import some
from birdctl.routing.impact import Effect, Impact, OriginatedPrefix, SessionImpact

_NAMED = 8
_LISTED = 20
"""How many names of a group, and prefixes of a kind, the text shows; the document holds all."""


_PARTS = {"PolicyPlan": "policies", "ServicePlan": "services"}
"""Under what the plan of another domain stands in the document of the first."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """From the configuration that runs (its digest, None when it is not ours) to the desired one.

    `impact` is None when that is what runs already. `names` are the peers of protocols; `problems` the objects left
    out; `refusals` the reasons not to do it without force, each with its numbers.
    """

    node: str
    running: str | None
    desired: str
    impact: Impact | None = None
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    problems: tuple[InputError, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self.running != self.desired

    @property
    def size(self) -> int:
        """How many sessions, other protocols and prefixes change; at least 1 when anything does."""
        if self.impact is None:
            return 0
        parts = (self._affected, self.impact.added, self.impact.withdrawn, self.impact.moved)
        return max(1, sum(map(len, parts)))

    @property
    def touches_sessions(self) -> bool:
        return self.impact is not None and any(each.effect is not Effect.NOTHING for each in self.impact.sessions)

    @property
    def interrupted(self) -> frozenset[str]:
        """Protocols whose session goes down."""
        return self.impact.interrupted if self.impact else frozenset()

    def check(self) -> None:
        """Raises UnsafePlan if it refuses itself."""
        if self.refusals:
            raise UnsafePlan(f"refused: {'; '.join(self.refusals)} (--force overrides)")

    def summary(self) -> str:
        """One line, for the log."""
        return "; ".join(self._details(short=True)) if self.changes else "nothing to do"

    def text(self) -> str:
        """For the terminal."""
        if self.changes:
            lines = [f"{self.node}: {self.running or 'a foreign configuration'} -> {self.desired}"]
            lines += [f"  {line}" for line in self._details(short=False)]
        else:
            lines = [f"{self.node}: nothing to do, BIRD runs {self.desired}"]
        lines += [f"left out: {problem}" for problem in self.problems]
        lines += [f"refused: {refusal}" for refusal in self.refusals]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For programs; keys are camelCase and stable."""
        found = self.impact
        return {
            "apiVersion": "birdctl.io/v1alpha1",
            "kind": "Plan",
            "node": self.node,
            "runningDigest": self.running,
            "desiredDigest": self.desired,
            "changes": self.changes,
            "sessions": [self._session(each) for each in found.sessions] if found else [],
            "protocols": [self._session(each) for each in found.others] if found else [],
            "prefixes": {
                "added": _prefixes(found.added if found else ()),
                "withdrawn": _prefixes(found.withdrawn if found else ()),
                "moved": _prefixes(found.moved if found else ()),
            },
            "problems": [str(problem) for problem in self.problems],
            "refusals": list(self.refusals),
        }

    def forms(self) -> dict[str, Any]:
        """Both of them, as the agent sends them."""
        return {"text": self.text(), "document": self.document()}

    @property
    def _affected(self) -> list[SessionImpact]:
        everything = (*self.impact.sessions, *self.impact.others) if self.impact else ()
        return [each for each in everything if each.effect is not Effect.NOTHING]

    def _session(self, each: SessionImpact) -> dict[str, Any]:
        return {
            "protocol": each.protocol,
            "peer": self._name(each),
            "effect": str(each.effect),
            "causes": list(each.causes),
        }

    def _name(self, each: SessionImpact) -> str:
        return self.names.get(each.protocol, each.protocol)

    def _details(self, *, short: bool) -> Iterator[str]:
        """One line for each group of sessions that meets the same for the same reason, then the prefixes."""
        if self.impact is None:
            return
        groups: dict[tuple[Effect, tuple[str, ...]], list[str]] = {}
        for each in self._affected:
            groups.setdefault((each.effect, each.causes), []).append(self._name(each))
        for (effect, causes), names in groups.items():
            because = f" ({'; '.join(causes)})" if causes else ""
            yield f"{effect}: {some(names, _NAMED)}{because}"
        yield f"unaffected: {self.impact.summary.get(Effect.NOTHING, 0)} of {len(self.impact.sessions)} sessions"
        for word, prefixes in (
            ("announced", self.impact.added),
            ("withdrawn", self.impact.withdrawn),
            ("announced otherwise", self.impact.moved),
        ):
            if prefixes:
                yield f"{word}: {some([str(each.prefix) for each in prefixes], _NAMED if short else _LISTED)}"


def together(plans: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The forms of the node's domains as one: the first document has the others in it. Or the first error."""
    if failed := next((each for each in plans if "error" in each), None):
        return failed
    first, *others = (each["document"] for each in plans)
    changes = any(each["document"]["changes"] for each in plans)
    whole = {**first, "changes": changes, **{_PARTS[each["kind"]]: each for each in others}}
    return {"text": "\n".join(each["text"] for each in plans), "document": whole}


def _prefixes(prefixes: Iterable[OriginatedPrefix]) -> list[dict[str, str]]:
    return [{"prefix": str(each.prefix), "protocol": each.protocol} for each in prefixes]
