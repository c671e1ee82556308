"""One connection to BIRD's control socket. A connection is cheap (no authentication): open one per operation.

Readers are restricted: BIRD itself then refuses every command that changes something.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from birdctl.errors import BackendError, Unavailable
from birdctl.routing.protocol import ERRORS, Line, LineReader, Reply

TIMEOUT = 5.0
_PIECE = 256 * 1024


class BirdSocket:
    """A connection, open from construction; use it as a context manager.

    `timeout` everywhere: seconds that BIRD may stay silent. Raises Unavailable when BIRD is not there, goes away or
    stays silent, BackendError when the socket may not be used or is not BIRD's.
    """

    def __init__(self, path: Path, *, restrict: bool = True, timeout: float = TIMEOUT) -> None:
        self._path = path
        self._reader = LineReader()
        self._socket = _connect(path, timeout)
        try:
            self.greeting = Reply(tuple(self._lines("the connection", timeout))).lines[-1].text
            if restrict:
                self.request("restrict", timeout=timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: between requests it is readable when BIRD has closed the connection."""
        return self._socket.fileno()

    def request(self, command: str, *, timeout: float = TIMEOUT, allow: Collection[int] = ()) -> Reply:
        """The whole reply. Raises BackendError with BIRD's words for an error code that is not in `allow`."""
        return Reply(tuple(self.stream(command, timeout=timeout, allow=allow)))

    def stream(self, command: str, *, timeout: float = TIMEOUT, allow: Collection[int] = ()) -> Iterator[Line]:
        """The same line by line, for big replies; to be read to the end."""
        if "\n" in command:
            raise BackendError("a command for BIRD is one line")
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise Unavailable(f"BIRD went away before {command!r} ({error.strerror or error})") from None
        for line in self._lines(repr(command), timeout):
            if line.last and line.code in ERRORS and line.code not in allow:
                raise BackendError(f"BIRD refused {command!r}: {line.text}")
            yield line

    def _lines(self, asked: str, timeout: float) -> Iterator[Line]:
        while True:
            for line in self._reader.feed(self._receive(asked, timeout)):
                yield line
                if line.last:
                    return

    def _receive(self, asked: str, timeout: float) -> bytes:
        try:
            data = self._socket.recv(_PIECE)
        except TimeoutError:
            raise Unavailable(f"BIRD did not answer {asked} within {timeout:g} s on {self._path}") from None
        except OSError as error:
            raise Unavailable(f"BIRD went away during {asked} ({error.strerror or error})") from None
        if not data:
            raise Unavailable(f"BIRD closed {self._path} in the middle of its answer to {asked}")
        return data


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise _connect_error(path, error) from None
    return connection


def _connect_error(path: Path, error: OSError) -> BackendError:
    if isinstance(error, PermissionError):
        return BackendError(f"no permission for BIRD's control socket {path}")
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"BIRD's control socket {path} does not exist (is BIRD running?)")
    if isinstance(error, ConnectionRefusedError):
        return Unavailable(f"nobody listens on BIRD's control socket {path} (BIRD died?)")
    return Unavailable(f"BIRD's control socket {path}: {error.strerror or error}")
