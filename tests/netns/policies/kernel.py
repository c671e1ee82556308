"""One node's kernel with two pods and a client, and this process inside: for the backends alone, without agent."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.netfilter.iptables import Mode
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.model import PolicyState
from birdctl.policies.options import PolicyOptions
from birdctl.policies.simulate import verdict
from tests.bird.daemon import _ENDS_WITH_US, Namespace
from tests.unit.policies.build import namespace, node, packet, pod

PLACES = {"web": 1, "db": 2, "client": 3}


def address(name: str, family: Family = Family.IPV4) -> str:
    return f"10.9.{PLACES[name]}.2" if family is Family.IPV4 else f"fd00:9:{PLACES[name]}::2"


class Kernel:
    """The node, and a namespace for each of PLACES; every packet between them is forwarded by the node."""

    def __init__(self) -> None:
        self.node = Namespace()
        self.places = {name: Namespace() for name in PLACES}
        self._started: list[subprocess.Popen[str]] = []
        self.node.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for name, number in PLACES.items():
            here, there = f"10.9.{number}.1/24,fd00:9:{number}::1/64", f"10.9.{number}.2/24,fd00:9:{number}::2/64"
            self.node.link(self.places[name], here, there, name)
            self.places[name].run(f"ip route add default via 10.9.{number}.1")
            self.places[name].run(f"ip -6 route add default via fd00:9:{number}::1")

    def close(self) -> None:
        for each in (self.node, *self.places.values()):
            each.close()

    def run(self, place: str, script: str, *arguments: str) -> subprocess.Popen[str]:
        """A Python program in a place; it ends with the test."""
        command = self.places[place].command(*_ENDS_WITH_US, sys.executable, "-I", "-S", "-c", script, *arguments)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._started.append(process)
        return process

    def end_programs(self) -> None:
        while self._started:
            with self._started.pop() as process:
                process.kill()


def compiled(*objects: object, default_deny: bool = False, action: str = "reject") -> PolicyState:
    """What the objects make of the node, on which both pods are; the client is a pod of another node."""
    both = [(address(name), address(name, Family.IPV6)) for name in PLACES]
    pods = [
        pod(f"red/{name}", *its, on="n2" if name == "client" else "n1", labels={"app": name}, ports={"http": 80})
        for name, its in zip(PLACES, both, strict=True)
    ]
    nodes = [node("n1", "10.9.1.1", pods=["10.9.0.0/22", "fd00:9::/44"]), node("n2", "10.0.0.2")]
    present = {(type(each), each.key) for each in objects}  # type: ignore[attr-defined]
    base = [each for each in (*nodes, namespace("red"), *pods) if (type(each), each.key) not in present]  # type: ignore[union-attr]
    cluster = Cluster.of(*base, *objects)  # type: ignore[arg-type]
    options = PolicyOptions(netpol_default_deny=default_deny, netpol_deny_action=action)  # type: ignore[arg-type]
    return PolicyCompiler("n1", options).compile(cluster).state


def answers(state: PolicyState) -> dict[tuple[Family, str, str, int], bool]:
    """Which packets between all places it allows, by family, ends and port."""
    return {
        (family, source, target, port): verdict(
            state, family, "FORWARD", packet(address(source, family), address(target, family), port)
        ).allowed
        for family, source, target, port in product(Family, PLACES, PLACES, (80, 81))
    }


def saved(mode: Mode) -> list[str]:
    """All rules and sets, whosever, without time stamps and counters."""
    programs = (f"iptables-{mode}-save", f"ip6tables-{mode}-save", "ipset save")
    texts = [subprocess.run(each.split(), capture_output=True, text=True, check=True).stdout for each in programs]
    return [line.partition(" [")[0] for text in texts for line in text.splitlines() if not line.startswith("#")]
