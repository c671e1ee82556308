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
from birdctl.cluster.bgp import API_VERSION

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

FORMS = ("table", "wide", "json", "yaml", "name")


@dataclass(frozen=True, slots=True)
class View(Generic[T, R]):
    """How a list of items is shown.

    `what`: its items in a sentence, as "peers"; `rows`: the table's rows of one item, given whether the table is wide;
    `name`: the item for scripts, as `peer/node-a/tor1`; `steady`: the item less what changes every second.
    """

    kind: str
    what: str
    columns: Sequence[Column[R]]
    rows: Callable[[T, bool], Iterable[R]]
    name: Callable[[T], str]
    steady: Callable[[T], object] = lambda item: item

    def text(self, items: Sequence[T], form: str, *, headers: bool = True) -> str:
        """The whole answer in one of FORMS."""
        if form in ("json", "yaml"):
            return document({"apiVersion": API_VERSION, "kind": self.kind, "items": msgspec.to_builtins(items)}, form)
        if form == "name":
            return "\n".join(self.name(item) for item in items)
        wide = form == "wide"
        rows = [row for item in items for row in self.rows(item, wide)]
        return "\n".join(tables.lines(self.columns, rows, wide=wide, headers=headers)) if rows else ""

    def print(self, items: Sequence[T], form: str, *, headers: bool = True) -> None:
        """The answer on stdout, or on stderr that there is nothing."""
        if text := self.text(items, form, headers=headers):
            print(text, flush=True)
        else:
            print(f"no {self.what}", file=sys.stderr)


def one_row(item: T, _wide: bool) -> tuple[T]:
    """`rows` of a view with one row for each item."""
    return (item,)


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
