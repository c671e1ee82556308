"""A client, a router, and two nodes with a pod each: what direct server return needs to be seen at work.

Each pod answers on port 80, of whatever address, with its name and as many bytes as it was sent. Everybody is a network
namespace; the sockets of clients and pods are this process's.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Self

from birdctl.addresses import Address, Family, family
from birdctl.services.apply import ServiceBackend
from birdctl.services.direct import DirectReturns
from birdctl.services.model import (
    DIRECT_MARK,
    DirectReturn,
    Forwarding,
    Mark,
    Port,
    Protocol,
    RealServer,
    Scheduler,
    SchedulerFlag,
    ServiceState,
    VirtualServer,
)
from birdctl.services.options import ServiceOptions
from tests.bird.daemon import Namespace

VIPS = {Family.IPV4: ip_address("203.0.113.80"), Family.IPV6: ip_address("2001:db8:f::80")}
MARKS = {Family.IPV4: DIRECT_MARK | 4, Family.IPV6: DIRECT_MARK | 6}
IPTABLES = {Family.IPV4: "iptables-legacy", Family.IPV6: "ip6tables-legacy"}
_FORWARDING = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
_PATIENCE = 5.0


class Cable:
    """Between two namespaces; the first one is the way out of the second one."""

    def __init__(self, upper: Namespace, lower: Namespace, name: str, *networks: str) -> None:
        """`networks`: an IPv4 one and an IPv6 one, without what comes after the last dot or colon."""
        self.ends = [
            {of: ip_address(f"{net}{host}") for of, net in zip(Family, networks, strict=True)} for host in (1, 2)
        ]
        above, below = (f"{end[Family.IPV4]}/24,{end[Family.IPV6]}/64" for end in self.ends)
        upper.link(lower, above, below, name)
        for gateway in self.ends[0].values():
            lower.run(f"ip route add default via {gateway}")


class Node:
    """It has one pod, `pod`."""

    def __init__(self, number: int, router: Namespace, stack: ExitStack) -> None:
        self.name = f"pod{number}"
        self.namespace, self.pod = (stack.enter_context(Namespace()) for _ in range(2))
        uplink = Cable(router, self.namespace, f"node{number}", f"198.18.{number}.", f"2001:db8:{number}::")
        inner = Cable(self.namespace, self.pod, "pod", f"10.244.{number}.", f"fd00:{number}::")
        self.address, self.pod_address = uplink.ends[1], inner.ends[1]
        for of in Family:
            router.run(f"ip route add {self.pod_address[of]} via {self.address[of]}")
        self.namespace.run(_FORWARDING)
        with self.namespace.inside():
            self.direct, self.backend = DirectReturns(), ServiceBackend(ServiceOptions())
        stack.callback(self.direct.close)
        stack.callback(self.backend.close)
        stack.enter_context(_answering(self.pod, self.name))

    def serve(self, of: Family, *nodes: Node, scheduler: Scheduler = Scheduler.RR) -> None:
        """The VIP, by direct server return, with the pods of these nodes."""
        key = Mark(mark=MARKS[of], family=of)
        server = VirtualServer(
            key=key,
            scheduler=scheduler,
            flags=frozenset({SchedulerFlag.FLAG_2} if scheduler is Scheduler.MH else ()),
            forwarding=Forwarding.TUNNEL,
            real_servers=tuple(RealServer(address=node.pod_address[of], port=80) for node in nodes),
        )
        local = {self.pod_address[of]} if self in nodes else set()
        state = ServiceState(
            virtual_servers={key: server}, direct_returns=_returns({VIPS[of]: local}), sources=self.address
        )
        with self.namespace.inside():
            result = self.backend.apply(state, grace={})
        assert result.refusals == result.deviations == ()

    def stop_serving(self) -> None:
        with self.namespace.inside():
            self.backend.apply(ServiceState(virtual_servers={}, sources=self.address), grace={})

    def apply(self, *families: Family, verify: bool = False) -> dict[Address, str]:
        """The node's and its pod's part of these families' VIPs."""
        return self.returning({VIPS[each]: {self.pod_address[each]} for each in families}, verify=verify)

    def returning(self, pods: Mapping[Address, Collection[Address]], *, verify: bool = False) -> dict[Address, str]:
        with self.namespace.inside():
            return self.direct.apply(_returns(pods), verify=verify)


def _returns(pods: Mapping[Address, Collection[Address]]) -> tuple[DirectReturn, ...]:
    return tuple(
        DirectReturn(
            port=Port(address=vip, protocol=Protocol.TCP, port=80), mark=MARKS[family(vip)], local_pods=frozenset(local)
        )
        for vip, local in pods.items()
    )


class Network:
    """Up when it is entered; the router sends packets for the VIPs to the first node."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.router, self.client = (stack.enter_context(Namespace()) for _ in range(2))
            self.router.run(_FORWARDING)
            self.client_address = Cable(self.router, self.client, "client", "192.0.2.", "2001:db8:c::").ends[1]
            self.nodes = tuple(Node(number, self.router, stack) for number in (1, 2))
            self.direct_to(self.nodes[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Nothing is served, and the first node is the way to the VIPs."""
        self.direct_to(self.nodes[0])
        for node in self.nodes:
            node.stop_serving()
            node.apply(verify=True)
            for program in IPTABLES.values():
                node.namespace.run(f"{program} --flush FORWARD")

    def direct_to(self, node: Node) -> None:
        """Packets for the VIPs take this way from now on."""
        for of, vip in VIPS.items():
            self.router.run(f"ip route replace {vip} via {node.address[of]}")

    def connect(self, of: Family) -> Talk:
        """From the client to the VIP."""
        with self.client.inside():
            return Talk(socket.create_connection((str(VIPS[of]), 80), _PATIENCE))

    def ask(self, of: Family, size: int = 1) -> str:
        """Who answers on the VIP, when asked with so many bytes on a new connection."""
        with contextlib.closing(self.connect(of)) as talk:
            return talk.ask(size)


class Talk:
    """The client's end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rwb")

    def ask(self, size: int = 1) -> str:
        self._stream.write(f"{size}\n".encode() + b"." * size)
        self._stream.flush()
        name = self._stream.readline().decode().strip()
        assert len(self._stream.read(size)) == size
        return name

    def close(self) -> None:
        self._stream.close()
        self._connection.close()


@contextmanager
def _answering(namespace: Namespace, name: str) -> Iterator[None]:
    with namespace.inside():
        listening = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
    thread = threading.Thread(target=_answer_all, args=(listening, name), daemon=True)
    thread.start()
    yield
    listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    listening.close()


def _answer_all(listening: socket.socket, name: str) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, name), daemon=True).start()


def _answer(connection: socket.socket, name: str) -> None:
    with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
        for line in stream:
            stream.read(int(line))
            stream.write(f"{name}\n".encode() + b"." * int(line))
            stream.flush()
