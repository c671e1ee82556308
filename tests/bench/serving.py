"""A node with two pods: one serves, the other asks; both through services of the node, as does a client beyond it.

On one processor the time of a request is what all namespaces together take for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from tests.bench.network import Network, inside, ip
from tests.bench.objects import Document, node_name, pod_cidr
from tests.bench.service_objects import TARGET_PORT, endpoint_slice, service

SERVICE = "bench"
CLUSTER_IP, NODE_PORT = IPv4Address("10.96.1.1"), 30080
_GATEWAY, _SERVER, _CLIENT = (pod_cidr(1).replace(".0/24", f".{host}") for host in (1, 2, 3))
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_QUESTION, _ANSWER = b"?" * 100, b"!" * 500


def documents() -> Iterator[Document]:
    """The service of the pod that serves."""
    made = service(SERVICE, CLUSTER_IP)
    made["spec"]["type"] = "NodePort"
    made["spec"]["ports"][0]["nodePort"] = NODE_PORT
    yield made
    yield endpoint_slice(SERVICE, [(_SERVER, node_name(1))])


class Serving:
    """A machine of the network at `address`, until `close`; what makes it a node of services comes in addition."""

    def __init__(self, network: Network, name: str, index: int) -> None:
        self._network = network
        self.name = name
        network.add(name, [index])
        self._server, self._client = f"{name}-server", f"{name}-client"
        with inside(name):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for end, address in ((self._server, _SERVER), (self._client, _CLIENT)):
            self._add_pod(end, address)
        self._process = self._start_server()

    def seconds(self, address: str, port: int, count: int, client: str = "") -> float:
        """Of a request by a connection of its own; from the pod, or from another machine."""
        with inside(client or self._client):
            begun = time.perf_counter()
            for _ in range(count):
                _ask(address, port)
            return (time.perf_counter() - begun) / count

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        for name in (self._server, self._client):
            subprocess.run(["ip", "netns", "delete", name], check=True)
        self._network.remove(self.name)

    def _add_pod(self, end: str, address: str) -> None:
        device = end.rpartition("-")[2]
        subprocess.run(["ip", "netns", "add", end], check=True)
        ip([f"link add {device} type veth peer name eth0 netns {end}", f"link set {device} up"], self.name)
        ip([f"addr add {_GATEWAY}/32 dev {device}", f"route add {address}/32 dev {device}"], self.name)
        gateway = [f"route add {_GATEWAY}/32 dev eth0", f"route add default via {_GATEWAY}"]
        ip(["link set lo up", f"addr add {address}/32 dev eth0", "link set eth0 up", *gateway], end)

    def _start_server(self) -> int:
        with inside(self._server):
            listener = socket.create_server((_SERVER, TARGET_PORT), backlog=64)
        if process := os.fork():
            listener.close()
            return process
        while True:
            with contextlib.suppress(ConnectionResetError), listener.accept()[0] as server:
                server.recv(len(_QUESTION))
                server.send(_ANSWER)
                server.recv(1)


def _ask(address: str, port: int) -> None:
    client = socket.create_connection((address, port), timeout=5.0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.send(_QUESTION)
    assert client.recv(len(_ANSWER))
    client.close()


def copy_services(one: Serving, other: Serving, addresses: tuple[str, str]) -> None:
    """Gives `other` by ipvsadm what `one` has, with the first of the `addresses` replaced by the second.

    Its kernel has the same settings, the addresses on a device of their own, and the one rule without which answers to
    clients beyond other nodes' pods would be lost.
    """
    settings = ("net.ipv4.vs.conntrack=1", "net.ipv4.vs.expire_nodest_conn=1", "net.ipv4.vs.conn_reuse_mode=1")
    masquerade = f"-m ipvs --vdir ORIGINAL --vmethod MASQ ! -s {pod_cidr(1)} ! -d {pod_cidr(1)} -j MASQUERADE"
    with inside(one.name):
        saved = subprocess.run(["ipvsadm-save", "-n"], check=True, capture_output=True, text=True).stdout
    text = saved.replace(f" {addresses[0]}:", f" {addresses[1]}:")
    virtual = {line.split()[2].partition(":")[0] for line in text.splitlines() if line.startswith("-A")}
    with inside(other.name):
        subprocess.run(["ipvsadm-restore"], check=True, input=text, text=True)
        subprocess.run(["sysctl", "-qw", *settings], check=True)
        subprocess.run(["iptables", "-t", "nat", "-A", "POSTROUTING", *masquerade.split()], check=True)
    added = (f"addr add {each}/32 dev vips" for each in sorted(virtual - {addresses[1]}))
    ip(["link add vips type dummy", "link set vips up", *added], other.name)
