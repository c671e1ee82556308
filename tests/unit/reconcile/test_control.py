"""The agent's socket: who may ask, what is answered, and what is said when nobody answers."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from birdctl.errors import BackendError, InputError, Unavailable
from birdctl.reconcile import control
from birdctl.reconcile.control import ControlServer, Query, ask, ask_for, socket_path
from tests.polling import eventually


class Numbered(msgspec.Struct):
    request: int


def echo(query: Query) -> Mapping[str, Any]:
    return {"request": query.request, "timeout": query.timeout, "name": query.name}


def wrong(_: Query) -> Mapping[str, Any]:
    raise InputError("Node a", "", "is not in the cluster")


def broken(_: Query) -> Mapping[str, Any]:
    raise ZeroDivisionError


@pytest.fixture
def release() -> threading.Event:
    return threading.Event()


@pytest.fixture
def runtime_dir(tmp_path: Path, release: threading.Event) -> Iterator[Path]:
    """Where a server answers `echo`, `wrong` and `broken`, and `slow` once it is released."""

    def slow(_: Query) -> Mapping[str, Any]:
        release.wait(10)
        return {}

    server = ControlServer(tmp_path / "run", {"broken": broken, "echo": echo, "wrong": wrong, "slow": slow})
    server.start()
    yield tmp_path / "run"
    release.set()
    server.stop()


def test_a_request_gets_its_handlers_reply(runtime_dir: Path) -> None:
    assert ask(runtime_dir, "echo", timeout=3.0, name="a/b") == {"request": "echo", "timeout": 3.0, "name": "a/b"}


def test_a_reply_is_a_value_or_not_understood(runtime_dir: Path) -> None:
    assert ask_for(Query, runtime_dir, "echo", name="a/b") == Query(request="echo", name="a/b")
    with pytest.raises(BackendError, match=r"the agent's answer cannot be understood: .*\$\.request"):
        ask_for(Numbered, runtime_dir, "echo")


def test_an_expected_error_comes_back_in_its_own_words(runtime_dir: Path) -> None:
    with pytest.raises(BackendError, match=r"^Node a: is not in the cluster$"):
        ask(runtime_dir, "wrong")


def test_a_bug_in_an_answer_is_an_error_too(runtime_dir: Path) -> None:
    with pytest.raises(BackendError, match=r"^bug: ZeroDivisionError$"):
        ask(runtime_dir, "broken")


def test_an_unknown_request_is_told_which_ones_are_known(runtime_dir: Path) -> None:
    with pytest.raises(BackendError, match="known are broken, echo, slow, wrong"):
        ask(runtime_dir, "reboot")


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"request": []}\n', b'{"request": "echo", "timeout": "x"}\n']
)
def test_what_is_no_request_is_answered_with_an_error(runtime_dir: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(socket_path(runtime_dir)))
        connection.sendall(line)
        assert "not a request" in msgspec.json.decode(connection.makefile("rb").readline())["error"]


def test_a_slow_request_does_not_hold_up_others(runtime_dir: Path, release: threading.Event) -> None:
    waiting = threading.Thread(target=ask, args=(runtime_dir, "slow"))
    waiting.start()
    assert ask(runtime_dir, "echo")["request"] == "echo"
    release.set()
    waiting.join(5)
    assert not waiting.is_alive()


def test_it_answers_again_when_there_was_too_much_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def once_not(listening: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", once_not)
    monkeypatch.setattr(control, "_PAUSE", 0.001)
    server = ControlServer(tmp_path, {"echo": echo})
    server.start()
    assert ask(tmp_path, "echo")["request"] == "echo"
    server.stop()
    assert "Too many open files" in caplog.text


def test_without_an_agent_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is `birdctl agent` running"):
        ask(tmp_path, "status")


def test_only_its_owner_reaches_the_socket(runtime_dir: Path) -> None:
    assert socket_path(runtime_dir).stat().st_mode & 0o777 == 0o600


def test_a_second_agent_does_not_start_beside_the_first(runtime_dir: Path) -> None:
    with pytest.raises(BackendError, match=r"^another agent runs"):
        ControlServer(runtime_dir, {}).start()
    assert ask(runtime_dir, "echo")["request"] == "echo"


def test_the_socket_of_an_agent_that_died_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_path(tmp_path)))
    server = ControlServer(tmp_path, {"echo": echo})
    server.start()
    assert ask(tmp_path, "echo")["request"] == "echo"
    server.stop()


def test_a_stopped_server_leaves_no_socket(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, {})
    server.start()
    server.stop()
    eventually(lambda: not socket_path(tmp_path).exists())


def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="cannot listen on"):
        ControlServer(tmp_path / "file", {}).start()
