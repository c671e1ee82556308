"""Machines of a benchmark: network namespaces on one bridge, and the processes in them.

Machine `i` has the address 172.30.0.0 + i; the bridge itself is 172.30.255.254, where the API server listens. Neighbour
entries are permanent, because the kernel's limit on learned ones counts all namespaces together.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

BRIDGE = "172.30.255.254"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def address(index: int) -> str:
    return str(IPv4Address("172.30.0.0") + index)


def hardware_address(index: int) -> str:
    return f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}"


def ip(commands: Iterable[str], namespace: str | None = None) -> None:
    """Runs `ip` commands, one a line, by one process."""
    where = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(commands), text=True, check=True)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread in another network namespace: sockets made meanwhile belong to it."""
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", namespace).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """The bridge and its machines, until `close`. With an `uplink`, the bridge is another one's beyond that device."""

    def __init__(self, uplink: str = "") -> None:
        self._names: dict[str, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        own = f"link set {uplink} master br0 up" if uplink else f"addr add {BRIDGE}/16 dev br0"
        ip(["link add br0 type bridge", own, "link set br0 up"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, name: str, indexes: Sequence[int]) -> None:
        """A machine with the addresses of `indexes` (the first is its main one)."""
        subprocess.run(["ip", "netns", "add", name], check=True)
        first = self._names[name] = indexes[0]
        ip(
            [
                f"link add v{first} type veth peer name eth0 address {hardware_address(first)} netns {name}",
                f"link set v{first} master br0 up",
                *(f"neigh replace {address(index)} lladdr {hardware_address(first)} dev br0" for index in indexes),
            ]
        )
        addresses = (f"addr add {address(index)}/16 dev eth0" for index in indexes)
        ip(["link set lo up", *addresses, "link set eth0 up"], name)

    def remove(self, name: str) -> None:
        """A machine on which nothing runs any more."""
        ip([f"link delete v{self._names.pop(name)}"])
        subprocess.run(["ip", "netns", "delete", name], check=True)

    def introduce(self, name: str, machines: Iterable[tuple[int, int]]) -> None:
        """Tells a machine where others are: pairs of an address's index and the index of the machine that has it."""
        ip((f"neigh replace {address(one)} lladdr {hardware_address(owner)} dev eth0" for one, owner in machines), name)

    def start(
        self, command: Sequence[str | Path], *, on: str | None = None, log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """A process on a machine (on none: beside the bridge); its output goes to `log`."""
        where = ("nsenter", f"--net=/run/netns/{on}") if on else ()
        with (log or Path(os.devnull)).open("ab") as output:
            process = subprocess.Popen(
                [*where, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._processes.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kills a process of ours, and waits for its end."""
        process.kill()
        process.wait()
        self._processes.remove(process)

    def close(self) -> None:
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            process.wait()
        for name in tuple(self._names):
            self.remove(name)
        ip(["link delete br0"])
