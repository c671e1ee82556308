"""The control socket when things go wrong. The other end sends what a real BIRD sent, and stops where a test says."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from birdctl.errors import BackendError, Unavailable
from birdctl.routing.bird import BirdSocket
from tests.unit.routing.recorded import VERSIONS, raw, reply

GREETING = b"0001 BIRD 2.0.12 ready.\n"
RESTRICTED = b"0016 Access restricted\n"


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="bird-") as folder:
        yield Path(folder, "bird.ctl")


class Relay:
    """Answers every command with the next of `answers`, and closes after the last."""

    def __init__(self, path: Path, answers: list[bytes], *, hold: bool) -> None:
        self.received: list[bytes] = []
        self._answers, self._hold, self._done = answers, hold, threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.sendall(self._answers[0])
            for answer in self._answers[1:]:
                if not (command := connection.recv(1000)):
                    return
                self.received.append(command)
                connection.sendall(answer)
            if self._hold:
                self._done.wait(10)

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def relay(path: Path) -> Iterator[Callable[..., Relay]]:
    with ExitStack() as stack:

        def start(*answers: bytes, hold: bool = False) -> Relay:
            made = Relay(path, list(answers), hold=hold)
            stack.callback(made.close)
            return made

        yield start


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do everything, so permissions are tried as another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_missing_socket_is_unavailable(path: Path) -> None:
    with pytest.raises(Unavailable, match=f"{path} does not exist"):
        BirdSocket(path)


def test_a_socket_that_nobody_listens_on_is_unavailable(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with pytest.raises(Unavailable, match="nobody listens"):
        BirdSocket(path)


def test_a_socket_of_somebody_else_is_a_permission_that_no_retry_gives(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with pytest.raises(BackendError, match="no permission") as caught, as_nobody():
            BirdSocket(path)
    assert not isinstance(caught.value, Unavailable)


def test_a_path_too_long_for_a_socket_is_one_clear_error() -> None:
    with pytest.raises(BackendError, match="too long"):
        BirdSocket(Path("/tmp") / ("x" * 200))


def test_readers_are_restricted_before_anything_else(path: Path, relay: Callable[..., Relay]) -> None:
    server = relay(GREETING, RESTRICTED, raw("2.0.12", "status"))
    with BirdSocket(path) as bird:
        bird.request("show status")
    assert server.received == [b"restrict\n", b"show status\n"]


def test_the_greeting_is_kept(path: Path, relay: Callable[..., Relay]) -> None:
    relay(GREETING)
    with BirdSocket(path, restrict=False) as bird:
        assert bird.greeting == "BIRD 2.0.12 ready."


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reply_is_what_bird_said(path: Path, relay: Callable[..., Relay], version: str) -> None:
    relay(GREETING, raw(version, "protocols-all"))
    with BirdSocket(path, restrict=False) as bird:
        assert bird.request("show protocols all") == reply(version, "protocols-all")


def test_a_reply_cut_off_at_any_byte_is_unavailable(path: Path, relay: Callable[..., Relay]) -> None:
    whole = raw("2.0.12", "configure-timeout")
    for cut in range(len(whole)):
        server = relay(GREETING, whole[:cut])
        with BirdSocket(path, restrict=False) as bird, pytest.raises(Unavailable, match=r"closed .* in the middle"):
            bird.request("configure")
        server.close()
        path.unlink()


def test_a_bird_that_goes_away_between_two_commands_is_unavailable(path: Path, relay: Callable[..., Relay]) -> None:
    server = relay(GREETING, RESTRICTED)
    with BirdSocket(path) as bird:
        server.close()
        with pytest.raises(Unavailable):
            bird.request("show status")


@pytest.mark.parametrize("answers", [[b""], [GREETING], [GREETING, b"1000-BIRD 2.0.12\n"]])
def test_a_silent_bird_is_unavailable_after_the_timeout(
    path: Path, relay: Callable[..., Relay], answers: list[bytes]
) -> None:
    relay(*answers, hold=True)
    with (
        pytest.raises(Unavailable, match=r"within 0.05 s"),
        BirdSocket(path, restrict=False, timeout=0.05) as bird,
    ):
        bird.request("show status", timeout=0.05)


def test_an_error_is_birds_own_words_unless_it_is_expected(path: Path, relay: Callable[..., Relay]) -> None:
    relay(GREETING, raw("2.0.12", "parse-error"), raw("2.0.12", "eval-undefined"))
    with BirdSocket(path, restrict=False) as bird:
        with pytest.raises(BackendError, match="BIRD refused 'no such command': syntax error, unexpected NO"):
            bird.request("no such command")
        assert bird.request("eval NOT_DEFINED", allow=(9001,)).code == 9001


def test_something_that_is_not_bird_is_an_error(path: Path, relay: Callable[..., Relay]) -> None:
    relay(b"220 mail.example.org ESMTP\n")
    with pytest.raises(BackendError, match="not BIRD's control protocol"):
        BirdSocket(path)


def test_a_command_cannot_smuggle_in_another(path: Path, relay: Callable[..., Relay]) -> None:
    relay(GREETING, RESTRICTED)
    with BirdSocket(path) as bird, pytest.raises(BackendError, match="one line"):
        bird.request("show status\nconfigure")
