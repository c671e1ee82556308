"""Namespaces and running BIRDs; nothing of them is left when a test ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from birdctl.routing.commit import BirdBackend
from tests.bird.daemon import Bird, Namespace
from tests.birds import BirdProgram

NewBird = Callable[[BirdProgram, Namespace, str], Bird]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="bird-") as name:
        yield Path(name)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace() as space:
        yield space


@pytest.fixture
def new_bird(folder: Path) -> Iterator[NewBird]:
    """Makes a BIRD that is not started yet, with its files in a folder of that name; it is ended with the test."""
    with ExitStack() as stack:

        def make(program: BirdProgram, space: Namespace, name: str) -> Bird:
            daemon = Bird(program, space, folder / name)
            stack.callback(daemon.kill)
            return daemon

        yield make


@pytest.fixture
def bird(new_bird: NewBird, bird_version: BirdProgram, namespace: Namespace) -> Bird:
    """Each BIRD of the machine in turn, alone in a namespace and not started yet."""
    return new_bird(bird_version, namespace, "bird")


@pytest.fixture
def backend(bird: Bird, folder: Path) -> BirdBackend:
    """What drives `bird`. An unconfirmed change is undone after 20 seconds, which no test waits for."""
    return BirdBackend(bird.socket, bird.config, folder / "run", 20)
