"""The forms of an answer: `-o table|wide|json|yaml|name`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from birdctl.cli import tables
from birdctl.cli.tables import Column

T = TypeVar("T")
R = TypeVar("R")

FORMS = ("table", "wide", "json", "yaml", "name")


def _one_row(item: Any, _wide: bool) -> tuple[Any]:
    return (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Generic[T, R]):
    """How a list of items is shown.

    `what`: its items in a sentence, as "peers"; `name`: the item for scripts, as `peer/node-a/tor1`; `rows`: the
    table's rows of one item, given whether the table is wide; `steady`: the item less what changes every second.
    """

    kind: str
    what: str
    name: Callable[[T], str]
    columns: Sequence[Column[R]] = ()
    rows: Callable[[T, bool], Iterable[R]] = _one_row
    steady: Callable[[T], object] = lambda item: item

    def text(self, items: Sequence[T], form: str, *, headers: bool = True) -> str:
        """The whole answer in one of FORMS."""
        if form in ("json", "yaml"):
            return document(self.document(items), form)
        if form == "name":
            return "\n".join(self.name(item) for item in items)
        return "\n".join(self.table(items, wide=form == "wide", headers=headers)) if items else ""

    def table(self, items: Sequence[T], *, wide: bool, headers: bool) -> list[str]:
        """The lines for a person."""
        rows = [row for item in items for row in self.rows(item, wide)]
        return tables.lines(self.columns, rows, wide=wide, headers=headers)

    def document(self, items: Sequence[T]) -> dict[str, Any]:
        """The answer as one value."""
        from birdctl.cluster.bgp import API_VERSION  # noqa: PLC0415 - a table does without the objects

        return {"apiVersion": API_VERSION, "kind": self.kind, "items": msgspec.to_builtins(items)}

    def print(self, items: Sequence[T], form: str, *, headers: bool = True) -> None:
        """The answer on stdout, or on stderr that there is nothing."""
        if text := self.text(items, form, headers=headers):
            print(text, flush=True)
        else:
            print(f"no {self.what}", file=sys.stderr)


def document(value: dict[str, Any], form: str) -> str:
    """One JSON or YAML document."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 - only who asks for it pays for it

        return str(yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)).rstrip("\n")
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def add_form(parser: argparse.ArgumentParser, forms: Sequence[str] = FORMS) -> None:
    parser.add_argument(
        "-o", "--output", choices=forms, default=forms[0], help=f"form of the answer (default {forms[0]})"
    )
