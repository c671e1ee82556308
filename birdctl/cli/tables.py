"""Tables as kubectl prints them: capitals above, three spaces between, no borders, `-` for what is not known."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")

GAP = "   "
NOTHING = "-"
_FEW = 4
_TONES = {"good": "\x1b[32m", "bad": "\x1b[31m", "": ""}


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """`value` may return None for `-`; `tone` says `good`, `bad` or nothing. `wide`: only with `-o wide`."""

    header: str
    value: Callable[[R], object]
    wide: bool = False
    tone: Callable[[R], str] | None = None


def few(names: Sequence[str]) -> str:
    """The first of them in one cell, and how many there are more."""
    rest = len(names) - _FEW
    return ",".join(names[:_FEW]) + (f",+{rest}" if rest > 0 else "")


def lines(columns: Sequence[Column[R]], rows: Iterable[R], *, wide: bool, headers: bool) -> list[str]:
    """The table's lines, headers first."""
    shown = [column for column in columns if wide or not column.wide]
    listed = list(rows)
    texts = [[_text(column.value(row)) for column in shown] for row in listed]
    heading = [[column.header for column in shown]] if headers else []
    widths = [max(map(len, cells)) for cells in zip(*heading, *texts, strict=True)]
    painted = [
        [_paint(cell, width, column, row) for cell, width, column in zip(cells, widths, shown, strict=True)]
        for cells, row in zip(texts, listed, strict=True)
    ]
    padded = [[cell.ljust(width) for cell, width in zip(cells, widths, strict=True)] for cells in heading]
    return [GAP.join(cells).rstrip() for cells in (*padded, *painted)]


def _text(value: object) -> str:
    return NOTHING if value is None or value == "" else str(value)


def _paint(cell: str, width: int, column: Column[R], row: R) -> str:
    padded = cell.ljust(width)
    tone = _TONES[column.tone(row)] if column.tone and coloured() else ""
    return padded.replace(cell, f"{tone}{cell}\x1b[0m", 1) if tone else padded


def coloured() -> bool:
    """Only a terminal gets colour, and not with NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
