"""Routers of our own in throw-away network namespaces: real kernels, real BIRDs, nothing of the machine touched."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from birdctl.routing.bird import BirdSocket
from birdctl.routing.protocol import Reply
from birdctl.routing.readback import clock, sessions
from birdctl.routing.state import SessionState
from tests.bird.daemon import Bird, Namespace
from tests.birds import BirdProgram


class Router:
    """A network namespace with forwarding on, and at most one BIRD in it. Gone when the context ends."""

    def __init__(self, bird: BirdProgram) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="birdctl-")
        self.folder = Path(self._folder.name)
        self.space = Namespace()
        self.daemon = Bird(bird, self.space, self.folder)
        self.socket = self.daemon.socket

    @property
    def bird(self) -> BirdProgram:
        return self.daemon.program

    def __enter__(self) -> Self:
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        self.space.close()
        self._folder.cleanup()

    def run(self, *command: str) -> str:
        return self.space.run(" ".join(command))

    def ip(self, *arguments: str) -> Any:
        """`ip -j`, decoded."""
        return json.loads(self.run("ip", "-j", *arguments) or "[]")

    def connect(self, interface: str, other: Router, other_interface: str) -> None:
        """A cable between two routers."""
        holder = str(other.space._holder.pid)
        self.run("ip", "link", "add", interface, "type", "veth", "peer", "name", other_interface, "netns", holder)
        self.run("ip", "link", "set", interface, "up")
        other.run("ip", "link", "set", other_interface, "up")

    def address(self, interface: str, *addresses: str) -> None:
        for each in addresses:
            self.run("ip", "address", "add", each, "dev", interface)

    def pings(self, address: str, source: str) -> bool:
        command = self.space.command("ping", "-c1", "-W1", "-I", source, address)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def start(self, text: str, *arguments: str) -> None:
        """BIRD with this configuration, ready for commands."""
        self.daemon.start(text, *arguments)

    def kill(self) -> None:
        """BIRD ends at once and says goodbye to nobody."""
        self.daemon.kill()

    def pause(self) -> None:
        """BIRD says nothing any more, and its connections stay open."""
        self.daemon.send_signal(signal.SIGSTOP)

    def ask(self, command: str) -> Reply:
        with BirdSocket(self.socket, restrict=False) as connection:
            return connection.request(command)

    def lines(self, command: str) -> str:
        return "\n".join(line.text for line in self.ask(command).lines)

    def configure(self, text: str) -> None:
        self.daemon.config.write_text(text)
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
