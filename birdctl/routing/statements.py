"""A reader of bird.conf as birdctl writes it: statements, blocks of statements, and their names.

Only the outer grammar is known, which BIRD never changed: a statement ends with `;` or a block in braces, strings have
no escapes, `#` starts a comment, and braces inside brackets belong to a prefix pattern.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(r'#[^\n]*|"[^"]*"|\[[^\]]*\]|[{};]|[^\s{};"#\[]+')
_OUTER = re.compile(r'#[^\n]*|"[^"]*"|\[[^\]]*\]|[{};]')


@dataclass(frozen=True, slots=True)
class Statement:
    """`words` up to the semicolon or block; `block` is None without one. Comments and layout are gone."""

    words: tuple[str, ...]
    block: tuple[Statement, ...] | None = None

    def __str__(self) -> str:
        return " ".join(self.words)


class _Sections(NamedTuple):
    """Where the outermost statements of a text end, and their names. Each begins where the one before it ends."""

    text: str
    ends: list[int]
    names: list[str]


class _Reader:
    """Remembers the last text. What BIRD is to run next is much like it: only what differs is looked at."""

    def __init__(self) -> None:
        self._last = _Sections("", [], [])

    def read(self, text: str) -> _Sections:
        last = self._last
        if text != last.text:
            self._last = last = _sections(text, last)
        return last


_read = _Reader().read


def sections(text: str) -> Mapping[str, str]:
    """The text of every outermost statement, by what stands before its block (`protocol bgp node_n2`) or semicolon.

    Cheap: nothing inside a block is looked at. Raises ValueError when its braces do not match.
    """
    _, ends, names = _read(text)
    starts = [0, *ends]
    return {name: text[start:end] for name, start, end in zip(names, starts, ends, strict=False) if name}


def _sections(text: str, like: _Sections) -> _Sections:
    unchanged = bisect_right(like.ends, shared(text, like.text))
    ends, names = like.ends[:unchanged], like.names[:unchanged]
    moved = len(text) - len(like.text)
    same_from = len(text) - shared(text[::-1], like.text[::-1])
    for end, name in _scan(text, ends[-1] if ends else 0):
        ends.append(end)
        names.append(name)
        rest = bisect_left(like.ends, end - moved)
        if end >= same_from and like.ends[rest : rest + 1] == [end - moved]:
            ends += [each + moved for each in like.ends[rest + 1 :]]
            names += like.names[rest + 1 :]
            break
    return _Sections(text, ends, names)


def _scan(text: str, start: int) -> Iterator[tuple[int, str]]:
    depth = head = 0
    for token in _OUTER.finditer(text, start):
        symbol = token[0]
        if symbol == "{":
            head = head if depth else token.start()
            depth += 1
        elif symbol == "}":
            depth -= 1
        if symbol in ("}", ";") and depth == 0:
            yield token.end(), _name(text[start : head or token.start()])
            start, head = token.end(), 0
    if depth:
        raise ValueError("braces do not match")


def shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many characters, or words, they have in common at the beginning."""
    known, limit = 0, min(len(one), len(other))
    while known < limit:
        middle = (known + limit + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            limit = middle - 1
    return known


def _name(text: str) -> str:
    return " ".join(_tokens(text))


def _tokens(text: str) -> list[str]:
    return [token for token in _TOKEN.findall(text) if not token.startswith("#")]


def parse(text: str) -> tuple[Statement, ...]:
    """All statements of a text. Raises ValueError when its braces do not match."""
    return tuple(_statements(iter(_tokens(text)), outermost=True))


def _statements(tokens: Iterator[str], *, outermost: bool = False) -> Iterator[Statement]:
    words: list[str] = []
    for symbol in tokens:
        if symbol == "{":
            yield Statement(tuple(words), tuple(_statements(tokens)))
            words = []
        elif symbol in (";", "}"):
            if words:
                yield Statement(tuple(words))
                words = []
            if symbol == "}":
                if outermost:
                    raise ValueError("braces do not match")
                return
        else:
            words.append(symbol)
    if not outermost:
        raise ValueError("braces do not match")
