"""HTTP on real sockets of the loopback address, and the looks of a log line."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from birdctl.errors import BackendError
from birdctl.observe.http import Answer, probe, serve
from birdctl.observe.log import JsonFormatter, TextFormatter


class Verdict:
    """Something that is wrong, or nothing."""

    wrong = ""

    def __call__(self) -> str:
        return self.wrong


VERDICT = Verdict()


@pytest.fixture
def port() -> Iterator[int]:
    pages = {
        "/healthz": probe(VERDICT),
        "/metrics": lambda: Answer(b"x 1\n", content_type="text/plain; version=0.0.4"),
        "/broken": lambda: Answer(bytes(1 // 0)),
    }
    server = serve("127.0.0.1", 0, pages)
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_a_probe_is_ok_or_says_what_is_wrong(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(port, "/healthz")[:2] == (200, "ok\n")
    monkeypatch.setattr(VERDICT, "wrong", "no BIRD")
    assert get(port, "/healthz")[:2] == (503, "no BIRD\n")


def test_a_page_has_its_own_type_and_a_query_is_ignored(port: int) -> None:
    assert get(port, "/metrics?format=text") == (200, "x 1\n", "text/plain; version=0.0.4")


def test_a_bug_in_a_page_is_in_the_log_with_its_traceback(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        get(port, "/broken")
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_other_paths_are_not_found(port: int) -> None:
    assert get(port, "/")[0] == 404
    assert get(port, "/healthz/x")[0] == 404


def test_all_addresses_are_those_of_both_families() -> None:
    server = serve("", 0, {"/": lambda: Answer(b"")})
    try:
        port = server.server_address[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BackendError, match=rf"^cannot listen on 127.0.0.1 port {port}: Address already in use$"):
            serve("127.0.0.1", port, {})


def record(message: str, **extra: object) -> logging.LogRecord:
    found = logging.LogRecord("birdctl.reconcile.agent", logging.WARNING, "", 0, message, (), None)
    found.created, found.msecs = 1_700_000_000.25, 250.0
    found.__dict__.update(extra)
    return found


def test_a_text_line_has_time_level_and_message() -> None:
    assert TextFormatter().format(record("left out: x")) == "2023-11-14T22:13:20.250Z WARNING left out: x"


def test_a_json_line_is_one_object() -> None:
    line = JsonFormatter().format(record('with "quotes"\nand lines'))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "message": 'with "quotes"\nand lines',
        "logger": "birdctl.reconcile.agent",
    }


def test_a_json_line_carries_the_traceback_of_a_bug() -> None:
    found = record("a bug")
    error = KeyError("x")
    found.exc_info = (type(error), error, None)
    assert re.search(r"KeyError: 'x'$", json.loads(JsonFormatter().format(found))["traceback"])
