"""BIRD's control protocol without a socket: bytes in, lines of replies out.

Every line says by its first characters what it is (BIRD's nest/cli.c):

    NNNN text      the last line of a reply
    NNNN-text      more lines follow
     text          more lines follow, the code is that of the line before
    +text          asynchronous: belongs to no reply, left out here

Nothing else ends a reply: not a code that begins with 0, 8 or 9, and not the end of a piece that was read. So the
result is the same wherever the stream is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from birdctl.errors import BackendError

# BIRD cuts its own lines at 500 bytes to a few KiB; whoever sends more than this is not BIRD.
MAX_LINE = 64 * 1024

ERRORS = range(8000, 10000)

_CODED = re.compile(r"(\d{4})([- ])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a reply. `last`: the reply ends with it."""

    code: int
    text: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply; never empty. Its last line's code says how the command went: 8xxx and 9xxx are errors."""

    lines: tuple[Line, ...]

    @property
    def code(self) -> int:
        return self.lines[-1].code

    @property
    def failed(self) -> bool:
        return self.code in ERRORS

    def text(self, code: int) -> str | None:
        """Text of the first line with `code`."""
        return next((line.text for line in self.lines if line.code == code), None)


class LineReader:
    """Cuts the byte stream of one connection into lines. Holds at most one unfinished line."""

    def __init__(self) -> None:
        self._rest = b""
        self._code: int | None = None

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes. Raises BackendError for bytes that are not BIRD's protocol."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise BackendError(f"a line of more than {MAX_LINE} bytes on BIRD's control socket")
        lines = (self._line(raw.decode(errors="replace")) for raw in complete)
        return [line for line in lines if line is not None]

    def _line(self, raw: str) -> Line | None:
        if raw.startswith("+"):
            return None
        if raw.startswith(" ") and self._code is not None:
            return Line(self._code, raw[1:])
        coded = _CODED.match(raw)
        if coded is None:
            raise BackendError(f"not BIRD's control protocol: {raw[:80]!r}")
        code, last = int(coded[1]), coded[2] == " "
        self._code = None if last else code
        return Line(code, raw[coded.end() :], last)
