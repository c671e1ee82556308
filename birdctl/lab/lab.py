"""Labs: up, down, and a command in a node.

A lab is recorded before anything of it is made, so `down` finds all of it also when `up` was killed halfway.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from birdctl.errors import InputError
from birdctl.lab import links, node, record
from birdctl.lab.record import RUNTIME_DIR, LabNode
from birdctl.lab.topology import Node, Topology


def up(topology: Topology, runtime_dir: Path = RUNTIME_DIR, say: Callable[[str], None] = print) -> None:
    """Makes the lab and runs its commands; a command that fails is said, and no error.

    Raises BackendError when the lab is up already, or when the machine refuses; then nothing is left of it.
    """
    record.write(topology, runtime_dir)
    try:
        _build(topology, runtime_dir, say)
    except BaseException:
        down(topology.name, runtime_dir)
        raise


def _build(topology: Topology, runtime_dir: Path, say: Callable[[str], None]) -> None:
    places = record.places(topology.name, (each.name for each in topology.nodes), runtime_dir)
    for each in topology.nodes:
        node.start(places[each.name], each)
    links.connect(places, topology.links)
    for each in topology.nodes:
        if each.cmd:
            _start_main(places[each.name], each)
    for each in topology.nodes:
        _run_commands(places[each.name], each, say)


def _start_main(place: LabNode, each: Node) -> None:
    with (place.folder / "cmd.log").open("wb") as log:
        _run(["setsid", "--fork", *node.entering(place, each, each.cmd)], log)


def _run_commands(place: LabNode, each: Node, say: Callable[[str], None]) -> None:
    for command in each.exec:
        with tempfile.TemporaryFile() as output:  # no pipe: a daemon that the command leaves behind would hold it open
            code = _run(node.entering(place, each, command), output)
            output.seek(0)
            if text := output.read().decode(errors="replace").rstrip():
                say(f"{each.name}: {text}")
        if code:
            say(f"{each.name}: {' '.join(command)}: exit code {code}")


def _run(command: Sequence[str], output: IO[bytes]) -> int:
    """The exit code of what the topology's author asks for."""
    return subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
    ).returncode


def down(name: str, runtime_dir: Path = RUNTIME_DIR) -> bool:
    """Removes all of the lab; False when there is nothing to remove."""
    home = record.folder(name, runtime_dir)
    if not home.exists():
        return False
    for place in record.nodes(name, runtime_dir):
        node.stop(place)
    shutil.rmtree(home)
    return True


def execute(topology: Topology, name: str, command: Sequence[str], runtime_dir: Path = RUNTIME_DIR) -> int:
    """Runs a command in a node, on the caller's terminal; returns its exit code.

    Raises InputError when there is no such node, Unavailable when it is not running.
    """
    each = next((each for each in topology.nodes if each.name == name), None)
    if each is None:
        known = ", ".join(each.name for each in topology.nodes)
        raise InputError(str(topology.file), "topology.nodes", f"there is no node {name!r}; there are {known}")
    place = record.places(topology.name, [name], runtime_dir)[name]
    return subprocess.run(node.entering(place, each, command), check=False).returncode  # noqa: S603 - the user's own
