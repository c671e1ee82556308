"""What BIRD said about a text, in words that lead to the place: the line, its block, the object it came from."""

from __future__ import annotations

import re

_WHERE = re.compile(r"(?P<file>\S+):(?P<line>\d+):(?P<column>\d+) (?P<message>.*)")
_BLOCK = re.compile(r"(?:protocol|filter|function|template|define) .*?(?= *[{=]|$)")
_SECRET = re.compile(r'\b((?:password|secret|key)\s+)"[^"]*("|$)', re.IGNORECASE)


def refusal(answer: str, text: str) -> str:
    """One line for a person from BIRD's `FILE:LINE:COLUMN message` about `text`; passwords are masked."""
    where = _WHERE.search(answer)
    lines = text.splitlines()
    if where is None or not 0 < int(where["line"]) <= len(lines):
        return answer
    number = int(where["line"])
    line = masked(lines[number - 1]).strip()
    block, origin = _block(lines[:number])
    place = f" in `{block}`{origin}" if block else ""
    return f"line {number}, column {where['column']}{place}: {where['message']}: {line}"


def masked(text: str) -> str:
    """`text` without its passwords and keys, also those that somebody's own templates write."""
    return _SECRET.sub(r'\1"***"', text)


def _block(lines: list[str]) -> tuple[str, str]:
    """The block that the last line is in, and the comment above it, which names the object."""
    for index in range(len(lines) - 1, -1, -1):
        if start := _BLOCK.match(lines[index]):
            comment = lines[index - 1] if index else ""
            return start[0], f" ({comment.lstrip('# ')})" if comment.startswith("#") else ""
    return "", ""
