"""A reader of bird.conf as birdctl writes it: statements, blocks of statements, and their names.

Only the outer grammar is known, which BIRD never changed: a statement ends with `;` or a block in braces, strings have
no escapes, `#` starts a comment, and braces inside brackets belong to a prefix pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r'#[^\n]*|"[^"]*"|\[[^\]]*\]|[{};]|[^\s{};"#\[]+')
_OUTER = re.compile(r'#[^\n]*|"[^"]*"|\[[^\]]*\]|[{};]')


@dataclass(frozen=True, slots=True)
class Statement:
    """`words` up to the semicolon or block; `block` is None without one. Comments and layout are gone."""

    words: tuple[str, ...]
    block: tuple[Statement, ...] | None = None

    def __str__(self) -> str:
        return " ".join(self.words)


@lru_cache(maxsize=2)  # what is a candidate now is what runs at the next change
def sections(text: str) -> Mapping[str, str]:
    """The text of every outermost statement, by what stands before its block (`protocol bgp node_n2`) or semicolon.

    Cheap: nothing inside a block is looked at. Raises ValueError when its braces do not match.
    """
    found: dict[str, str] = {}
    depth = start = head = 0
    for token in _OUTER.finditer(text):
        symbol = token[0]
        if symbol == "{":
            head = head if depth else token.start()
            depth += 1
        elif symbol == "}":
            depth -= 1
        if symbol in ("}", ";") and depth == 0:
            end = token.end()
            if name := _name(text[start : head or token.start()]):
                found[name] = text[start:end]
            start, head = end, 0
    if depth:
        raise ValueError("braces do not match")
    return found


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
