"""The agent's own socket, `<runtime-dir>/agent.sock`: one line of JSON in, one line of JSON out, then the end.

A line in is a Query: `{"request": "status"}`, `sync` and `plan` (with a `timeout` in seconds), `policies`, `services`,
`service` (with a `name`, `NAMESPACE/NAME`). A reply is what was asked for (a plan in both forms: `{"text": TEXT,
"document": PLAN}`), or `{"error": TEXT}`. Only root reaches the socket (mode 0600): no further authentication.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from birdctl.errors import BackendError, BirdctlError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

_PIECE = 64 * 1024
_GRACE = 2.0  # seconds for the agent to say that `timeout` is over
_PATIENCE = 5.0  # seconds that a client may take to send its line
_PAUSE = 1.0  # seconds until requests are taken again where the process has too much open


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`timeout` is how many seconds the answer may take; `name` what it is about, where that has one."""

    request: str
    timeout: float = 5.0
    name: str = ""


Handler = Callable[[Query], Mapping[str, Any]]


def socket_path(runtime_dir: Path) -> Path:
    return runtime_dir / "agent.sock"


def ask(runtime_dir: Path, request: str, *, timeout: float = 5.0, name: str = "") -> dict[str, Any]:
    """The running agent's reply to a Query. Raises Unavailable when no agent answers within `timeout` seconds,
    BackendError with the agent's words when it answers with an error.
    """
    path, query = socket_path(runtime_dir), Query(request=request, timeout=timeout, name=name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout + _GRACE)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(query) + b"\n")
            reply: dict[str, Any] = msgspec.json.decode(_read_line(connection))
        except TimeoutError:
            raise Unavailable(f"the agent did not answer {request!r} within {timeout:g} s") from None
        except (OSError, msgspec.DecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unavailable(f"no agent answers on {path} ({reason}); is `birdctl agent` running?") from None
    if "error" in reply:
        raise BackendError(str(reply["error"]))
    return reply


def ask_for(type_: type[T], runtime_dir: Path, request: str, *, name: str = "") -> T:
    """The reply as a value. Raises as `ask`, and BackendError for the reply of an agent of another version."""
    reply = ask(runtime_dir, request, name=name)
    try:
        return msgspec.convert(reply, type_)
    except msgspec.ValidationError as error:
        raise BackendError(f"the agent's answer cannot be understood: {error}") from None


class ControlServer:
    """Answers on the socket from `start()` to `stop()`; each connection has a thread of its own, as a `sync` waits."""

    def __init__(self, runtime_dir: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = socket_path(runtime_dir)
        self._handlers = handlers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = -1
        self._running = True

    def start(self) -> None:
        """Takes the socket over from an agent that died. Raises BackendError while one lives, or when the path cannot
        be used.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
            self._socket.listen()
        except BlockingIOError:
            self._close()
            raise BackendError(f"another agent runs and answers on {self._path}") from None
        except OSError as error:
            self._close()
            raise BackendError(f"cannot listen on {self._path}: {error.strerror or error}") from None
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def stop(self) -> None:
        self._running = False
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        self._socket.close()
        if self._lock >= 0:
            os.close(self._lock)

    def _accept(self) -> None:
        while self._running:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if self._running:
                    log.warning("no request can be taken on %s: %s", self._path, error.strerror)
                    time.sleep(_PAUSE)
                continue
            threading.Thread(target=self._serve, args=(connection,), name="control request", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_PATIENCE)
            try:
                reply = self._reply(_read_line(connection))
                connection.settimeout(_PATIENCE)
                connection.sendall(msgspec.json.encode(reply) + b"\n")
            except OSError:
                return  # the client left

    def _reply(self, line: bytes) -> Mapping[str, Any]:
        try:
            query = msgspec.json.decode(line, type=Query)
            handler = self._handlers[query.request]
        except (msgspec.DecodeError, KeyError):
            return {"error": f"not a request; known are {', '.join(sorted(self._handlers))}"}
        try:
            return handler(query)
        except BirdctlError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("a bug in the answer to %s", query.request)
            return {"error": f"bug: {type(error).__name__}"}


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(_PIECE)
        if not piece:
            break
        data += piece
    return data
