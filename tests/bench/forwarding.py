"""A node that forwards between the pods on it and those of others, and what its kernel needs for that.

On one processor the kernel carries a packet through all three namespaces on the account of who sent it. So the CPU time
of both ends is the packets' whole cost, and what else the machine does does not count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Self

from birdctl.addresses import Family
from birdctl.cluster.decode import decode
from birdctl.cluster.objects import Object
from birdctl.cluster.store import Cluster
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from tests.bench.network import hardware_address, inside, ip
from tests.bench.objects import node_name
from tests.bench.policy_objects import APPS, NAMESPACES, TIERS, Size, address_of, contents, namespaces
from tests.bench.proc import cpu_seconds, user_seconds

_TCP, _UDP = 8080, 53
_IP = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_IPTABLES = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BIND_ADDRESS_NO_PORT = 24
_FLOWS = 10


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """This thread on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Forwarding:
    """Three namespaces: `name`, which forwards, and both ends, which have the pods' addresses; until `close`.

    Every local pod has one remote pod that it may talk with: that may connect to it by TCP, and it to that by UDP.
    """

    def __init__(self, name: str, size: Size) -> None:
        self.name = name
        self._here, self._there = f"{name}-pods", f"{name}-others"
        self._size = size
        self._pairs = [
            (str(address_of(pod, size)), str(address_of(_friend(pod, size), size))) for pod in range(size.local)
        ]
        self._sockets = contextlib.ExitStack()
        self._link()
        self._server = self._start_server()
        self._flows = [self._flow(*pair) for pair in self._pairs[:: len(self._pairs) // _FLOWS]]

    def track_connections(self, mode: Mode) -> None:
        """The node has conntrack and one rule that asks it, and no more."""
        rule = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        with inside(self.name):
            subprocess.run([f"{_IPTABLES[self._size.family]}-{mode}", *rule.split()], check=True)

    def enforce(self, mode: Mode) -> None:
        """The node has the policies of the cluster."""
        documents = [*namespaces(), *contents(self._size)]
        objects = [each for each in map(decode, documents) if isinstance(each, Object)]
        state = PolicyCompiler(node_name(1), PolicyOptions()).compile(Cluster.of(*objects)).state
        with inside(self.name):
            backend = PolicyBackend(mode)
            try:
                refused = backend.apply(state).refused
            finally:
                backend.close()
        assert not refused, refused

    def connection_cost(self, count: int) -> tuple[float, float]:
        """CPU seconds of a connection (connect, a byte each way, reset), and how many of them are the program's own."""
        with inside(self._there), _Stopwatch(count, self._server) as watch:
            for number in range(count):
                self._connect(*self._pairs[number % len(self._pairs)])
        return watch.seconds, watch.own_seconds

    def packet_cost(self, count: int) -> tuple[float, float]:
        """The same of a packet of an established flow."""
        for here, there in self._flows:
            _exchange(here, there)
        with _Stopwatch(2 * count) as watch:
            for number in range(count):
                _exchange(*self._flows[number % _FLOWS])
        return watch.seconds, watch.own_seconds

    def close(self) -> None:
        os.kill(self._server, signal.SIGKILL)
        os.waitpid(self._server, 0)
        self._sockets.close()
        for name in (self.name, self._here, self._there):
            subprocess.run(["ip", "netns", "delete", name], check=True)

    def _connect(self, pod: str, friend: str) -> None:
        client = socket.socket(_IP[self._size.family])
        client.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        client.bind((friend, 0))
        client.connect((pod, _TCP))
        client.send(b"x")
        client.recv(1)
        client.close()

    def _start_server(self) -> int:
        """All local pods' server, a process of its own."""
        listener = self._socket(self._here, socket.SOCK_STREAM, "", _TCP)
        listener.listen(64)
        if process := os.fork():
            return process
        while True:
            with contextlib.suppress(ConnectionResetError), listener.accept()[0] as server:
                server.send(server.recv(1))
                server.recv(1)

    def _link(self) -> None:
        for name in (self.name, self._here, self._there):
            subprocess.run(["ip", "netns", "add", name], check=True)
            ip(["link set lo up"], name)
        forward = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        subprocess.run(["ip", "netns", "exec", self.name, "sysctl", "-qw", *forward], check=True)
        here, there = ({pair[end] for pair in self._pairs} for end in (0, 1))
        networks = ("169.254.1.", "169.254.2.") if self._size.family is Family.IPV4 else ("fd00:1::", "fd00:2::")
        self._connect_end(self._here, networks[0], here)
        self._connect_end(self._there, networks[1], there)

    def _connect_end(self, end: str, network: str, pods: set[str]) -> None:
        """Neighbours are known from the beginning: a datagram that had to wait for one might be lost."""
        device = end.rpartition("-")[2]
        length, known = (30, "") if self._size.family is Family.IPV4 else (126, "nodad")
        router, other = (f"address {hardware_address(index)}" for index in (1, 2))
        ip([f"link add {device} {router} type veth peer name eth0 {other} netns {end}"], self.name)
        ip([f"addr add {network}1/{length} dev {device} {known}", f"link set {device} up"], self.name)
        ip([f"addr add {network}2/{length} dev eth0 {known}", "link set eth0 up"], end)
        ip([f"neigh add {network}2 lladdr {hardware_address(2)} dev {device}"], self.name)
        ip([f"neigh add {network}1 lladdr {hardware_address(1)} dev eth0", f"route add default via {network}1"], end)
        ip((f"addr add {pod} dev lo {known}" for pod in sorted(pods)), end)
        ip((f"route add {pod} via {network}2" for pod in sorted(pods)), self.name)

    def _flow(self, pod: str, friend: str) -> tuple[socket.socket, socket.socket]:
        here = self._socket(self._here, socket.SOCK_DGRAM, pod, 0)
        there = self._socket(self._there, socket.SOCK_DGRAM, friend, _UDP, reuse=True)
        here.connect((friend, _UDP))
        there.connect(here.getsockname())
        return here, there

    def _socket(
        self, end: str, kind: socket.SocketKind, address: str, port: int, *, reuse: bool = False
    ) -> socket.socket:
        with inside(end):
            made = self._sockets.enter_context(socket.socket(_IP[self._size.family], kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
        made.bind((address, port))
        return made


class _Stopwatch:
    """CPU seconds of this and other processes for each of `count` things: all, and those outside of the kernel."""

    def __init__(self, count: int, *others: int) -> None:
        self._count = count
        self._processes = (os.getpid(), *others)

    def __enter__(self) -> Self:
        self._all, self._own = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        every, own = self._read()
        self.seconds, self.own_seconds = (every - self._all) / self._count, (own - self._own) / self._count

    def _read(self) -> tuple[float, float]:
        times = [cpu_seconds(process) for process in self._processes]
        own = [user_seconds(process) for process in self._processes]
        return sum(times), sum(own)


def _exchange(one: socket.socket, other: socket.socket) -> None:
    one.send(b"x")
    other.recv(1)
    other.send(b"x")
    one.recv(1)


def _friend(pod: int, size: Size) -> int:
    """The number of a remote pod of the namespace, of the tier that the first policy of the pod lets in."""
    first_policy = pod % (NAMESPACES * APPS)
    return next(
        other
        for other in size.remote
        if other % NAMESPACES == pod % NAMESPACES and other % TIERS == first_policy % TIERS
    )
