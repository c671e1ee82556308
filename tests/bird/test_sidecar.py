"""How the sidecar starts BIRD: with what was confirmed last, or with nothing rather than not at all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from birdctl.routing.bird import BirdSocket
from tests.birds import bird_program
from tests.kube import ROOT
from tests.polling import eventually

CONFIRMED = "router id 192.0.2.7;\nprotocol device confirmed {}\n"
Start = Callable[[], None]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []
    (bird,) = bird_program("system").command

    def run() -> None:
        environment = {
            "PATH": f"{Path(bird).parent}:{os.environ['PATH']}",
            "BIRD_CONFIG": str(tmp_path / "bird.conf"),
            "BIRD_SOCKET": str(tmp_path / "bird.ctl"),
            "BIRD_BOOTSTRAP": str(ROOT / "bird-templates/bootstrap.conf"),
        }
        script = ROOT / "manifests/sidecar/start-bird"
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", script]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        eventually((tmp_path / "bird.ctl").exists)

    yield run
    for process in started:
        process.kill()
        process.wait()


def protocols(folder: Path) -> str:
    with BirdSocket(folder / "bird.ctl") as socket:
        return "\n".join(line.text for line in socket.request("show protocols").lines)


def test_the_first_start_is_with_an_empty_configuration(start: Start, tmp_path: Path):
    start()
    assert "device1" in protocols(tmp_path)


def test_every_other_start_is_with_the_confirmed_one(start: Start, tmp_path: Path):
    (tmp_path / "bird.conf").write_text(CONFIRMED)
    start()
    assert "confirmed" in protocols(tmp_path)


def test_a_configuration_this_bird_cannot_read_is_set_aside(start: Start, tmp_path: Path):
    (tmp_path / "bird.conf").write_text("protocol of the future {}\n")
    start()
    assert "device1" in protocols(tmp_path)
    assert (tmp_path / "bird.conf.unreadable").read_text() == "protocol of the future {}\n"
