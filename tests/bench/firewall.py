"""A node that enforces policies: its machine, its agent, and what its kernel holds, asked by netlink."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from birdctl.errors import Unavailable
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.model import Owner
from birdctl.netfilter.netlink import NLA_F_NET_BYTEORDER, Message, Netlink, attribute, nested
from birdctl.policies.model import CHAIN_PREFIX
from birdctl.reconcile import control
from tests.bench.apiserver import Api
from tests.bench.network import Network, inside
from tests.bench.node import BIRDCTL
from tests.bench.objects import node_name
from tests.bench.policy_objects import NAMESPACES, TIERS, Size, address_of, contents, namespace_of, namespaces, tier
from tests.polling import eventually

_TEST = 6 << 8 | 11  # IPSET_CMD_TEST
_PROTOCOL, _SETNAME, _DATA, _IP, _IPV4 = 1, 2, 7, 1, 1
_PATIENCE = 120.0
_PAUSE = 0.0005


class Firewall:
    """The agent's machine is node 1 of the cluster."""

    name = node_name(1)

    def __init__(self, network: Network, api: Api, scratch: Path) -> None:
        self._network = network
        self._kubeconfig = api.kubeconfig
        self._folder = scratch / self.name
        self._folder.mkdir()
        network.add(self.name, [1])
        with inside(self.name):
            self._netlink = Netlink("ipset")

    @property
    def process(self) -> int:
        """The agent's."""
        return self._agent.pid

    def start(self) -> float:
        """Starts the agent. Returns the seconds until everything is in the kernel."""
        begun = time.monotonic()
        where = ["--runtime-dir", self._folder, "--kubeconfig", self._kubeconfig]
        what = ["--run-router=false", "--run-firewall", "--node", self.name]
        self._agent = self._network.start(
            [BIRDCTL, "agent", *what, *where], on=self.name, log=self._folder / "agent.log"
        )
        eventually(self._converged, _PATIENCE, pause=0.005)
        return time.monotonic() - begun

    def stop(self) -> None:
        """Kills the agent, and empties the kernel."""
        self._network.end(self._agent)
        with inside(self.name):
            for command in ("iptables", "ip6tables"):
                subprocess.run([command, "-F"], check=True)
                subprocess.run([command, "-X"], check=True)
            subprocess.run(["ipset", "destroy"], check=True)

    def last_pass(self) -> float:
        """Seconds that the agent's last pass took, as it says itself."""
        return float(control.ask(self._folder, "status")["domains"]["policies"]["lastSyncSeconds"])

    def lines(self) -> dict[str, int]:
        """How many rules and chains of ours each family has."""
        with inside(self.name):
            saved = {
                family: subprocess.run([f"{family}-save"], check=True, capture_output=True, text=True).stdout
                for family in ("iptables", "ip6tables")
            }
        return {family: sum(CHAIN_PREFIX in line for line in text.splitlines()) for family, text in saved.items()}

    def sets(self) -> dict[str, frozenset[object]]:
        """Our ipsets and what is in them."""
        with inside(self.name):
            backend = IpsetBackend(Owner.POLICIES)
        try:
            return {name: found.entries for name, found in backend.read().items()}
        finally:
            backend.close()

    def holds(self, name: str, address: IPv4Address) -> bool:
        """Whether the kernel's set has the address now."""
        where = nested(_IP, attribute(_IPV4 | NLA_F_NET_BYTEORDER, address.packed))
        body = attribute(_PROTOCOL, b"\6") + attribute(_SETNAME, name.encode() + b"\0") + nested(_DATA, where)
        return not self._netlink.request([Message(_TEST, body)])

    def _converged(self) -> bool:
        assert self._agent.poll() is None, (self._folder / "agent.log").read_text()[-2000:]
        try:
            return bool(control.ask(self._folder, "status").get("converged"))
        except Unavailable:
            return False


class Tiers:
    """The kernel's sets of the tiers of namespaces, found by their contents; and pods that change tier."""

    def __init__(self, api: Api, firewall: Firewall, size: Size) -> None:
        self._api = api
        self._firewall = firewall
        self._size = size
        self._now = {number: number % TIERS for number in range(size.pods)}
        by_contents = {entries: name for name, entries in firewall.sets().items()}
        self._sets = {
            (namespace_of(within), tier(of)): by_contents[self._members(within, of)]
            for within in range(NAMESPACES)
            for of in range(TIERS)
        }

    def change(self, number: int) -> None:
        """Gives a pod the next tier."""
        self._now[number] = (self._now[number] + 1) % TIERS
        label = {"metadata": {"labels": {"tier": tier(self._now[number])}}}
        self._api.patch("Pod", f"p{number}", label, namespace=namespace_of(number))

    def seconds_to_change(self, number: int, timeout: float) -> float | None:
        """From before the request to the kernel having the pod in its new tier's set alone; None: never."""
        address = address_of(number, self._size)
        begun = time.monotonic()
        self.change(number)
        new, old = (self._sets[namespace_of(number), tier(self._now[number] + step)] for step in (0, TIERS - 1))
        while not self._firewall.holds(new, address) or self._firewall.holds(old, address):
            if time.monotonic() - begun > timeout:
                return None
            time.sleep(_PAUSE)
        return time.monotonic() - begun

    def wrong(self) -> int:
        """How many sets do not hold what they should."""
        there = self._firewall.sets()
        return sum(
            there.get(self._sets[namespace_of(within), tier(of)]) != self._members(within, of)
            for within in range(NAMESPACES)
            for of in range(TIERS)
        )

    def _members(self, within: int, of: int) -> frozenset[object]:
        return frozenset(
            address_of(number, self._size)
            for number, now in self._now.items()
            if number % NAMESPACES == within and now == of
        )


@contextmanager
def firewall(scratch: Path, size: Size) -> Iterator[tuple[Firewall, Api]]:
    """A node and an API server with a cluster of this size; the agent does not run yet."""
    with Network() as network, Api(scratch / "api") as api:
        api.create(namespaces())
        api.create(contents(size))
        yield Firewall(network, api, scratch), api
