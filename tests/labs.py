"""Running scenarios of containerlab/: brought up with `birdctl lab` under a name of their own, and looked at."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from birdctl.lab import lab as labs
from birdctl.lab.node import entering
from birdctl.lab.record import LabNode, nodes
from birdctl.lab.topology import Topology, load

SCENARIOS = Path(__file__).parents[1] / "containerlab"
_BIRDCTL = (sys.executable, "-m", "birdctl")


@dataclass(frozen=True)
class Lab:
    """One running scenario. `folder` is its own copy, so a test may change the manifests."""

    topology: Topology
    folder: Path

    @property
    def name(self) -> str:
        return self.topology.name

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @cached_property
    def places(self) -> Mapping[str, LabNode]:
        return {place.name: place for place in nodes(self.name)}

    def start(self, node: str, *command: str) -> subprocess.Popen[str]:
        """A process in a node; the caller ends it."""
        of = next(each for each in self.topology.nodes if each.name == node)
        return subprocess.Popen(
            entering(self.places[node], of, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def succeeds(self, node: str, *command: str) -> bool:
        process = self.start(node, *command)
        process.communicate(timeout=30)
        return process.returncode == 0

    def run(self, node: str, *command: str) -> str:
        """What a command in a node prints; it has to succeed."""
        process = self.start(node, *command)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, f"{node}: {' '.join(command)}: {output}"
        return output

    def birdctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`birdctl …` on the machine, outside the lab.

        In user-mode Linux it crashed in three of some ten runs of all tests, on other kernels never: there, and only
        then, it is started again.
        """
        run = partial(subprocess.run, [*_BIRDCTL, *arguments], capture_output=True, text=True, timeout=120, check=False)
        done = run()
        if done.returncode == -signal.SIGSEGV and "MACHINE" in os.environ:
            print(f"birdctl {arguments} crashed: {done.stderr}")
            done = run()
        return done

    def show(self, what: str, *arguments: str) -> list[dict[str, Any]]:
        """The items of `birdctl show WHAT -o json` for this lab."""
        done = self.birdctl("show", what, "-o", "json", "--lab", self.name, *arguments)
        assert done.stdout, (done.returncode, done.stderr)
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    def peers(self, *of: str) -> dict[tuple[str, str], dict[str, Any]]:
        """The sessions of these nodes by node and peer."""
        wanted = [word for node in of for word in ("--node", node)]
        return {(peer["node"], peer["peer"]): peer for peer in self.show("peers", *wanted)}

    def uptimes(self, node: str) -> dict[str, int]:
        """Seconds that each session of a node is Established."""
        return {peer: session.get("uptimeSeconds", 0) for (_, peer), session in self.peers(node).items()}

    def state(self, node: str, peer: str) -> str:
        return str(self.peers(node)[node, peer]["state"])

    def kernel(self, node: str, *, family: int = 4) -> dict[str, set[str]]:
        """The gateways of every prefix that BIRD put into the node's kernel."""
        routes = json.loads(self.run(node, "ip", "-j", f"-{family}", "route", "show", "proto", "bird"))
        return {route["dst"]: {hop["gateway"] for hop in route.get("nexthops", [route])} for route in routes}

    def table(self, node: str, *, family: int = 4) -> set[str]:
        """The prefixes in the main table of a node's BIRD, as birdc sees them."""
        text = self.run(node, "birdc", "-s", "/run/bird/bird.ctl", "show", "route", "table", f"master{family}")
        return set(re.findall(r"^(\S+/\d+)\s", text, re.MULTILINE))

    def pings(self, node: str, address: str, *, pod: bool = True) -> bool:
        """A packet there and back, from the node's pod or the node itself; the first may wait for the neighbour."""
        inside = ("ip", "netns", "exec", "pod") if pod else ()
        return self.succeeds(node, *inside, "ping", "-n", "-c", "1", "-w", "3", "-i", "0.3", address)

    def fetch(self, node: str, address: str, *, pod: bool = True) -> str:
        """What the pod at the address answers over HTTP: the name of its node; "" when it does not."""
        inside = ("ip", "netns", "exec", "pod") if pod else ()
        host = f"[{address}]" if ":" in address else address
        process = self.start(node, *inside, "curl", "-gs", "--max-time", "1", f"http://{host}/")
        return process.communicate(timeout=30)[0].strip()

    def pids(self, node: str, program: str) -> list[str]:
        """Process ids, as the node counts them, of a program by its name."""
        return self.start(node, "pidof", program).communicate(timeout=30)[0].split()

    def agent(self, node: str) -> str:
        """The process id of the node's agent, as the node counts them."""
        return self.start(node, "pgrep", "-f", "birdctl agent").communicate(timeout=30)[0].split()[0]

    def rewrite(self, manifest: str, change: Callable[[str], str]) -> None:
        """Changes a manifest for all nodes, by an atomic rename as an editor does it."""
        path = self.manifests / manifest
        new = path.with_suffix(".new")
        new.write_text(change(path.read_text()))
        new.rename(path)


@contextmanager
def running(scenario: str, folder: Path) -> Iterator[Lab]:
    """The scenario, up; `folder` (empty) receives the copy that runs. All of it is gone afterwards."""
    shutil.copytree(SCENARIOS, folder, dirs_exist_ok=True)
    topology = load(folder / scenario / f"{scenario}.clab.yml", f"{scenario}-{os.getpid()}")
    said: list[str] = []
    labs.up(topology, say=said.append)
    try:
        assert not said, said
        yield Lab(topology, folder / scenario)
    finally:
        labs.down(topology.name)
