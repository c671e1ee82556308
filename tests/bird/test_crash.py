"""The agent is killed between any two steps of a commit. BIRD keeps running, and the next commit just works."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from birdctl.routing.bird import BirdSocket
from birdctl.routing.commit import BirdBackend
from birdctl.routing.history import digest_of
from birdctl.routing.protocol import Line
from tests.bird.daemon import Bird
from tests.bird.texts import FOREIGN, inventory, prefix, rendered
from tests.polling import eventually

_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def die_at(step: int, folder: Path) -> None:
    """Kills this process at the step with this number; every command to BIRD, before and after it, and every file
    that is opened, renamed or removed in `folder` is one.
    """
    steps = itertools.count()

    def count() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in _FILE_EVENTS and str(arguments[0]).startswith(str(folder)):
            count()

    stream = BirdSocket.stream

    def counted(self: BirdSocket, *arguments: str, **options: object) -> Iterator[Line]:
        count()
        yield from stream(self, *arguments, **options)  # type: ignore[arg-type]
        count()

    sys.addaudithook(watch)
    BirdSocket.stream = counted  # type: ignore[assignment,method-assign]


def in_child(what: Callable[[], object]) -> int:
    """Signal that ended a child process doing this; 0 when it came to its end."""
    if (child := os.fork()) == 0:
        try:
            what()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed_commit(backend: BirdBackend, step: int, folder: Path, digest: str) -> bool:
    """Whether the commit was killed: it has no more than so many steps."""

    def commit() -> None:
        die_at(step, folder)
        backend.commit(rendered(digest, prefix("p", f"10.{step}.0.0/16")), inventory(digest))

    return in_child(commit) == signal.SIGKILL


def test_a_killed_commit_leaves_a_good_main_file_and_the_next_one_works(
    bird: Bird, backend: BirdBackend, folder: Path
) -> None:
    bird.start(FOREIGN)
    good = "first"
    backend.commit(rendered(good), inventory(good))
    for step in itertools.count():
        attempt, following = f"attempt{step}", f"following{step}"
        killed = killed_commit(backend, step, folder, attempt)
        assert backend.status().digest in {good, attempt}
        assert digest_of(bird.config.read_text()) in {good, attempt}
        assert not bird.program.check(bird.config.read_text())
        good = following
        assert backend.commit(rendered(good), inventory(good)).changed
        assert backend.status().digest == digest_of(bird.config.read_text()) == good
        assert bird.request("configure status").text(22) is None
        assert backend.running_text() == rendered(good).text
        assert [each.digest for each in backend.history() if each.running] == [good]
        if not killed:
            break
    assert step > 30


def test_bird_goes_back_by_itself_after_the_agent_died(bird: Bird, folder: Path) -> None:
    backend = BirdBackend(bird.socket, bird.config, folder / "run", 1)
    bird.start(FOREIGN)
    backend.commit(rendered("one"), inventory("one"))

    def die_before_the_confirm() -> None:
        request = BirdSocket.request

        def dying(self: BirdSocket, command: str, **options: object) -> object:
            if command == "configure confirm":
                os.kill(os.getpid(), signal.SIGKILL)
            return request(self, command, **options)  # type: ignore[arg-type]

        BirdSocket.request = dying  # type: ignore[assignment,method-assign]
        backend.commit(rendered("two"), inventory("two"))

    assert in_child(die_before_the_confirm) == signal.SIGKILL
    assert backend.status().digest == "two"
    eventually(lambda: backend.status().digest == "one")


def test_a_confirmed_commit_is_finished_by_the_next_pass(bird: Bird, backend: BirdBackend, folder: Path) -> None:
    """Killed after the confirm, before the main file was there: the same desired state again mends it."""
    bird.start(FOREIGN)
    backend.commit(rendered("one"), inventory("one"))
    for step in itertools.count():
        digest = f"attempt{step}"
        if not killed_commit(backend, step, folder, digest):
            break
        text = rendered(digest, prefix("p", f"10.{step}.0.0/16"))
        backend.commit(text, inventory(digest))
        assert backend.status().digest == digest
        assert bird.config.read_text() == text.text
        assert backend.history()[0].digest == digest
