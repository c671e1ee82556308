"""Tables and ages look as kubectl's."""

from __future__ import annotations

import sys

import pytest

from birdctl.cli.age import age
from birdctl.cli.tables import Column, lines

COLUMNS: tuple[Column[tuple[object, ...]], ...] = (
    Column("NAME", lambda row: row[0]),
    Column("STATE", lambda row: row[1], tone=lambda row: "good" if row[1] == "up" else "bad"),
    Column("COUNT", lambda row: row[2], wide=True),
)
ROWS: list[tuple[object, ...]] = [("a", "up", 0), ("long-name", None, 12), ("b", "", 7)]


def test_columns_are_three_spaces_apart_and_what_is_unknown_is_a_dash() -> None:
    assert lines(COLUMNS, ROWS, wide=True, headers=True) == [
        "NAME        STATE   COUNT",
        "a           up      0",
        "long-name   -       12",
        "b           -       7",
    ]


def test_a_wide_column_is_left_out_otherwise() -> None:
    assert lines(COLUMNS, ROWS[:1], wide=False, headers=True) == ["NAME   STATE", "a      up"]


def test_headers_can_be_left_out() -> None:
    assert lines(COLUMNS, ROWS[:2], wide=True, headers=False) == ["a           up   0", "long-name   -    12"]


def test_only_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert lines(COLUMNS, [("a", "up", 0), ("b", "down", 0)], wide=False, headers=False) == [
        "a   \x1b[32mup\x1b[0m",
        "b   \x1b[31mdown\x1b[0m",
    ]
    monkeypatch.setenv("NO_COLOR", "1")
    assert lines(COLUMNS, [("a", "up", 0)], wide=False, headers=False) == ["a   up"]


def test_colour_does_not_move_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    first, second = lines(COLUMNS, [("a", "up", 0), ("b", "starting", 0)], wide=True, headers=False)
    assert first == "a   \x1b[32mup\x1b[0m         0"
    assert second == "b   \x1b[31mstarting\x1b[0m   0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (4 * 3600 + 300, "4h5m"),
        (8 * 3600 + 300, "8h"),
        (47 * 3600, "47h"),
        (2 * 86400, "2d"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (8 * 86400 + 3600, "8d"),
        (700 * 86400, "700d"),
        (2 * 365 * 86400 + 40 * 86400, "2y40d"),
        (9 * 365 * 86400 + 40 * 86400, "9y"),
    ],
)
def test_an_age_is_as_kubectl_says_it(seconds: float | None, text: str) -> None:
    assert age(seconds) == text
