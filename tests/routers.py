"""Routers of our own in throw-away network namespaces: real kernels, real BIRDs, nothing of the machine touched."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from birdctl.errors import Unavailable
from birdctl.routing.bird import BirdSocket
from birdctl.routing.protocol import Reply
from birdctl.routing.readback import clock, sessions
from birdctl.routing.state import SessionState
from tests.birds import BirdProgram
from tests.polling import eventually

_numbers = itertools.count()


class Router:
    """A network namespace with forwarding on, and at most one BIRD in it. Gone when the context ends."""

    def __init__(self, bird: BirdProgram) -> None:
        self.bird = bird
        self.namespace = f"birdctl-{os.getpid()}-{next(_numbers)}"
        self._folder = tempfile.TemporaryDirectory(prefix="birdctl-")
        self.folder = Path(self._folder.name)
        self.socket = self.folder / "bird.ctl"
        self.config = self.folder / "bird.conf"
        self.log = self.folder / "bird.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        _run("ip", "netns", "add", self.namespace)
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        _run("ip", "netns", "del", self.namespace)
        self._folder.cleanup()

    def run(self, *command: str) -> str:
        return _run("ip", "netns", "exec", self.namespace, *command)

    def ip(self, *arguments: str) -> Any:
        """`ip -j`, decoded."""
        return json.loads(self.run("ip", "-j", *arguments) or "[]")

    def connect(self, interface: str, other: Router, other_interface: str) -> None:
        """A cable between two routers."""
        peer = ("peer", "name", other_interface, "netns", other.namespace)
        _run("ip", "link", "add", interface, "netns", self.namespace, "type", "veth", *peer)
        self.run("ip", "link", "set", interface, "up")
        other.run("ip", "link", "set", other_interface, "up")

    def address(self, interface: str, *addresses: str) -> None:
        for each in addresses:
            self.run("ip", "address", "add", each, "dev", interface, *(("nodad",) if ":" in each else ()))

    def pings(self, address: str, source: str) -> bool:
        command = ["ip", "netns", "exec", self.namespace, "ping", "-c1", "-W1", "-I", source, address]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def start(self, text: str, *arguments: str) -> None:
        """BIRD with this configuration, ready for commands."""
        self.config.write_text(text)
        command = (*self.bird.command, "-f", "-c", str(self.config), "-s", str(self.socket), *arguments)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(["ip", "netns", "exec", self.namespace, *command], stdout=log, stderr=log)
        eventually(self._ready)

    def _ready(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(Unavailable), contextlib.closing(BirdSocket(self.socket)):
            return True
        return False

    def kill(self) -> None:
        """BIRD ends at once and says goodbye to nobody."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """BIRD says nothing any more, and its connections stay open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def ask(self, command: str) -> Reply:
        with BirdSocket(self.socket, restrict=False) as connection:
            return connection.request(command)

    def lines(self, command: str) -> str:
        return "\n".join(line.text for line in self.ask(command).lines)

    def configure(self, text: str) -> None:
        self.config.write_text(text)
        self.ask("configure")

    def sessions(self) -> dict[str, SessionState]:
        with BirdSocket(self.socket) as connection:
            now = clock(connection.greeting, connection.request("show status"), None).now
            return {each.protocol: each for each in sessions(connection.request("show protocols all").lines, now)}

    def established(self, *protocols: str) -> bool:
        states = self.sessions()
        for each in protocols:
            assert states[each].state == "Established", f"{each}: {states[each]}"
            assert states[each].end_of_rib, f"{each}: {states[each]}"
        return True

    def kernel_routes(self, version: int = 4) -> dict[str, list[str]]:
        """What BIRD put into the kernel: the next hops of each prefix, or its type where it has none."""
        routes = self.ip(f"-{version}", "route", "show", "proto", "bird")
        found: dict[str, list[str]] = {}
        for route in routes:
            hops = route.get("nexthops", [route])
            gateways = sorted(_gateway(hop) for hop in hops if _gateway(hop)) or [route.get("type", "unicast")]
            found.setdefault(route["dst"], []).extend(gateways)
        return found


def _gateway(hop: dict[str, Any]) -> str:
    return str(hop.get("gateway") or hop.get("via", {}).get("host", ""))


@contextlib.contextmanager
def routers(*birds: BirdProgram) -> Iterator[list[Router]]:
    """One router per given BIRD."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Router(each)) for each in birds]


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout
