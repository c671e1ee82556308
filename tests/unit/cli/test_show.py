"""What all of `birdctl show …` share: where it is read, partial answers, the forms, and what it costs."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from birdctl.cli import parser, places, show
from birdctl.cli.commands import COMMANDS
from birdctl.cli.main import main
from birdctl.cli.show import peers as peers_view
from birdctl.cli.show import status as status_view
from birdctl.errors import BackendError, BirdctlError, Unavailable
from birdctl.observe.views import FamilyCounts, Peer
from birdctl.settings import Settings

HEAVY = {
    "yaml",
    "jinja2",
    "pyroute2",
    "kubernetes",
    "urllib3",
    "http",
    "ssl",
    "asyncio",
    "prometheus_client",
    "watchdog",
}


def peer(node: str, name: str = "tor1", **values: Any) -> Peer:
    defaults = {"type": "external", "state": "Established", "protocol": f"peer_{name}", "remote_as": 65001}
    return Peer(node=node, peer=name, **{**defaults, **values})


def arguments(*words: str) -> argparse.Namespace:
    command = next(command for command in COMMANDS if command.name == "show peers")
    return parser.build(command)[0].parse(words)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lab of the nodes a, b and c."""
    nodes = tuple(
        places.Place(node=name, runtime_dir=tmp_path, bird_socket=tmp_path, bird_config=tmp_path) for name in "abc"
    )
    monkeypatch.setattr(places, "of_lab", lambda name, runtime_dir, only_ours: nodes)  # noqa: ARG005


def read(place: places.Place) -> list[Peer]:
    if place.node == "b":
        raise Unavailable("BIRD is gone")
    return [peer(place.node)]


@pytest.mark.usefixtures("lab")
def test_a_node_that_fails_is_one_line_and_the_others_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert show.run(arguments("--lab", "x"), peers_view.VIEW, show.Reader(read)) == 2
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["NODE", "a", "c"]
    assert said.err == "birdctl: b: BIRD is gone\n"


@pytest.mark.usefixtures("lab")
def test_when_every_node_fails_it_is_an_error() -> None:
    with pytest.raises(Unavailable, match=r"^b: BIRD is gone$"):
        show.run(arguments("--lab", "x", "--node", "b"), peers_view.VIEW, show.Reader(read))


@pytest.mark.usefixtures("lab")
def test_nodes_of_a_lab_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert show.run(arguments("--lab", "x", "--node", "c", "--node", "a"), peers_view.VIEW, show.Reader(read)) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["NODE", "c", "a"]
    with pytest.raises(BirdctlError, match="there is no node 'z'; known are a, b, c"):
        show.run(arguments("--lab", "x", "--node", "z"), peers_view.VIEW, show.Reader(read))


def test_an_unknown_lab_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BirdctlError, match=r"^lab x: is not up; there are none$"):
        places.of_lab("x", tmp_path)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """The runtime directory of a lab `x`: birdctl is about to run in a, a BIRD alone runs in b, c is a mere host."""
    home = tmp_path / "lab" / "x"
    (home / "a" / "run" / "birdctl").mkdir(parents=True)
    (home / "b" / "run" / "bird").mkdir(parents=True)
    (home / "b" / "run" / "bird" / "bird.ctl").touch()
    (home / "lab.json").write_text(json.dumps({"file": "x.clab.yml", "nodes": ["a", "b", "c"]}))
    return tmp_path


@pytest.mark.parametrize(("only_ours", "names"), [(False, "ab"), (True, "a")])
def test_a_lab_s_routers_are_shown_and_not_waited_for(mixed: Path, only_ours: bool, names: str) -> None:
    assert "".join(place.node for place in places.of_lab("x", mixed, only_ours=only_ours)) == names


def test_a_lab_without_birdctl_has_nothing_to_wait_for(mixed: Path) -> None:
    shutil.rmtree(mixed / "lab" / "x" / "a")
    with pytest.raises(BirdctlError, match=r"^lab x: none of its 3 nodes runs birdctl$"):
        places.of_lab("x", mixed, only_ours=True)


def test_without_labs_the_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list", "--runtime-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "no labs\n"
    assert main(["lab", "list", "-o", "json", "--runtime-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "birdctl.io/v1alpha1", "kind": "LabList", "items": []}


def test_nothing_to_show_is_said_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty = show.Reader(lambda _: [])
    flags = ("--runtime-dir", str(tmp_path))
    assert show.run(arguments(*flags), peers_view.VIEW, empty) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no peers\n")
    assert show.run(arguments(*flags, "-o", "json"), peers_view.VIEW, empty) == 0
    assert json.loads(capsys.readouterr().out)["items"] == []


def asked(*words: str, tmp_path: Path) -> str:
    """Whether these flags ask this node or the API server."""
    reader = show.Reader(lambda _: [peer("here")], lambda _: [peer("here"), peer("there")])
    items, _ = show.gather(arguments("--runtime-dir", str(tmp_path), *words), reader)
    return ",".join(item.node for item in items)


def test_the_node_is_asked_unless_the_flags_mean_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("NODE_NAME", "here")
    assert asked(tmp_path=tmp_path) == "here"
    assert asked("--node", "here", tmp_path=tmp_path) == "here"
    assert asked("-A", tmp_path=tmp_path) == "here,there"
    assert asked("--node", "there", tmp_path=tmp_path) == "there"
    assert asked("--kubeconfig", "k", tmp_path=tmp_path) == "here,there"


def test_kubeconfig_in_the_environment_counts_only_where_there_is_no_bird(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "k")
    monkeypatch.setenv("NODE_NAME", "here")
    assert asked(tmp_path=tmp_path) == "here,there"
    socket = tmp_path / "bird.ctl"
    socket.touch()
    assert asked("--bird-socket", str(socket), tmp_path=tmp_path) == "here"


def test_every_form_of_an_answer() -> None:
    counts = {"ipv4": FamilyCounts(received=2, advertised=1), "ipv6": FamilyCounts(received=3, limit=9)}
    items = [peer("a", uptime_seconds=273600, families=counts), peer("a", "tor2", state="Idle", last_error="refused")]
    text = peers_view.VIEW.text
    assert [" ".join(line.split()) for line in text(items, "table").splitlines()] == [
        "NODE PEER ADDRESS AS TYPE STATE UPTIME RECV SENT BFD",
        "a tor1 - 65001 external Established 3d4h 5 1 -",
        "a tor2 - 65001 external Idle - 0 0 -",
    ]
    wide = [line.split() for line in text(items, "wide", headers=False).splitlines()]
    assert [(row[1], row[11], row[7], row[13]) for row in wide] == [
        ("tor1", "ipv4", "2", "-"),
        ("tor1", "ipv6", "3", "9"),
        ("tor2", "-", "0", "-"),
    ]
    assert json.loads(text(items, "json")) == yaml.safe_load(text(items, "yaml"))
    assert text(items, "name") == "peer/a/tor1\npeer/a/tor2"


def test_without_permission_the_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BackendError, match=r"no permission to read .*: run it as root"):
        places.local(Settings(runtime_dir=tmp_path))


@pytest.mark.parametrize("verb", ["peers", "bfd", "status", "config", "advertisements", "services"])
def test_a_view_of_this_node_loads_nothing_heavy(verb: str, tmp_path: Path) -> None:
    program = f"""
import sys
from birdctl.cli.main import main
main(["show", {verb!r}, "--bird-socket", "{tmp_path}/x", "--runtime-dir", "{tmp_path}"])
print(*sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({}, "-"),
        ({"problems": ["Pod a/b: wrong"]}, "Pod a/b: wrong"),
        ({"problems": ["Pod a/b: wrong", "Pod a/c: wrong"]}, "Pod a/b: wrong (and 1 more)"),
        ({"problems": ["Pod a/b: wrong"], "lastError": "BIRD is gone"}, "BIRD is gone"),
    ],
)
def test_the_status_tells_of_objects_that_are_not_in_force(
    said: dict[str, Any], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status_view.VIEW.print([{"node": "a", "converged": True, "healthy": True, "bird": {}, **said}], "table")
    header, row = capsys.readouterr().out.splitlines()
    assert row[header.index("ERROR") :] == error
