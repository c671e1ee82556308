"""Real BIRDs in network namespaces of their own. Everything ends with the process that started it, also when killed."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from birdctl import syscalls
from birdctl.errors import BirdctlError
from birdctl.routing.bird import BirdSocket
from birdctl.routing.protocol import Reply
from tests.birds import BirdProgram
from tests.polling import eventually

_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS and IFF_UP of netdevice(7)
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_ACCEPT_DAD = Path("/proc/sys/net/ipv6/conf/default/accept_dad")
"""While a device's link-local address is being tried (RFC 4862), for a second or two, no neighbour is looked for."""


class Namespace:
    """A network namespace without a name, held by a process; loopback is up. IPv6 addresses count from the start on."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen([*_ENDS_WITH_US, "unshare", "--net", "sleep", "infinity"])
        self._path = Path(f"/proc/{self._holder.pid}/ns/net")
        ours = Path("/proc/self/ns/net").stat().st_ino
        eventually(lambda: self._path.stat().st_ino != ours)
        with self.inside(), socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
            _ACCEPT_DAD.write_text("0")

    @property
    def pid(self) -> int:
        """A process that is inside."""
        return self._holder.pid

    def command(self, *words: str) -> list[str]:
        """The command line that runs inside."""
        return ["nsenter", f"--net={self._path}", "--", *words]

    def inside(self) -> AbstractContextManager[None]:
        """Within, this thread and what it starts are in the namespace."""
        return syscalls.inside_network(self._path)

    def run(self, command: str) -> str:
        """Output of one command inside."""
        with self.inside():
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def link(self, other: Namespace, here: str, there: str, name: str = "eth0") -> None:
        """A cable to another namespace; `here` and `there` are comma lists of addresses with their length."""
        self.run(f"ip link add {name} type veth peer name {name} netns {other._holder.pid}")
        for space, addresses in ((self, here), (other, there)):
            for address in addresses.split(","):
                space.run(f"ip address add {address} dev {name}")
            space.run(f"ip link set {name} up")

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Bird:
    """One daemon with its files in `folder`. `start` may be called again after `stop` or `kill`."""

    def __init__(self, program: BirdProgram, namespace: Namespace, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.program = program
        self.config = folder / "bird.conf"
        self.socket = folder / "bird.ctl"
        self.log = folder / "bird.log"
        self._namespace = namespace
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self, text: str | None = None, *options: str) -> Self:
        """Runs with `text` as its main file (None: as the file is), and answers on its socket."""
        if text is not None:
            self.config.write_text(text)
        arguments = ("-f", "-c", str(self.config), "-s", str(self.socket), *options)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._namespace.command(*_ENDS_WITH_US, *self.program.command, *arguments), stderr=log, stdout=log
            )
        eventually(self._answers)
        return self

    def request(self, command: str) -> Reply:
        with BirdSocket(self.socket, restrict=False) as bird:
            return bird.request(command, allow=range(8000, 10000))

    def established(self, *protocols: str) -> bool:
        """Whether these BGP protocols are up."""
        return all("Established" in self.request(f"show protocols {name}").lines[-2].text for name in protocols)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it and waits until it is gone."""
        if self._process and self._process.poll() is None:
            self.send_signal(number)
            self._process.wait(10)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"BIRD ended: {self.log.read_text()}")
        try:
            return not self.request("show status").failed
        except BirdctlError:
            return False
