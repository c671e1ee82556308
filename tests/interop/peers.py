"""One node of ours with two routers that are not, `near` on its network and `far` behind that, and how to ask them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from birdctl.lab import lab as labs
from birdctl.lab.topology import load
from tests.labs import SCENARIOS, Lab

HERE = Path(__file__).parent
NODE = "172.31.0.1"


@dataclass(frozen=True, kw_only=True)
class Received:
    """What a router says about a route it got from our node."""

    as_path: tuple[int, ...]
    next_hops: frozenset[str]
    med: int
    communities: frozenset[str]
    large_communities: frozenset[str]


class External(Protocol):
    """A router outside, asked in its own tongue. Families are 4 and 6."""

    lab: Lab

    def established(self, router: str) -> bool: ...

    def received(self, router: str, family: int) -> Mapping[str, Received]: ...

    def restart_capability(self, router: str) -> bool:
        """Whether our node announced graceful restart (RFC 4724)."""
        ...

    def stale(self, router: str, prefix: str) -> bool:
        """Whether the router keeps the route although our session is down."""
        ...


@dataclass(frozen=True)
class Frr:
    """FRR, by vtysh."""

    lab: Lab

    def ask(self, router: str, command: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.lab.run(router, "vtysh", "-c", f"{command} json"))
        return answer

    def established(self, router: str) -> bool:
        return self._neighbour(router)["bgpState"] == "Established"

    def received(self, router: str, family: int) -> Mapping[str, Received]:
        routes = self.ask(router, f"show bgp ipv{family} unicast")["routes"]
        ours = [prefix for prefix, paths in routes.items() if paths[0]["peerId"] == NODE]
        details = {prefix: self.ask(router, f"show bgp ipv{family} unicast {prefix}") for prefix in ours}
        return {prefix: _frr_path(detail["paths"][0]) for prefix, detail in details.items() if "paths" in detail}

    def restart_capability(self, router: str) -> bool:
        capability = self._neighbour(router)["neighborCapabilities"]["gracefulRestart"]
        return capability in {"received", "advertisedAndReceived"}

    def stale(self, router: str, prefix: str) -> bool:
        return not self.established(router) and prefix in self.ask(router, "show bgp ipv4 unicast")["routes"]

    def _neighbour(self, router: str) -> dict[str, Any]:
        neighbour: dict[str, Any] = self.ask(router, f"show bgp neighbors {NODE}")[NODE]
        return neighbour


def _frr_path(path: dict[str, Any]) -> Received:
    return Received(
        as_path=tuple(int(number) for number in path["aspath"]["string"].split()),
        next_hops=frozenset(hop["ip"] for hop in path["nexthops"] if hop.get("scope") != "link-local"),
        med=path.get("metric", 0),
        communities=frozenset(path.get("community", {}).get("list", ())),
        large_communities=frozenset(path.get("largeCommunity", {}).get("list", ())),
    )


@dataclass(frozen=True)
class GoBgp:
    """GoBGP, by gobgp; attributes by their numbers of RFC 4271, 1997 and 8092."""

    lab: Lab

    def ask(self, router: str, *command: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.lab.run(router, "gobgp", "-j", *command))
        return answer

    def established(self, router: str) -> bool:
        return bool(self.ask(router, "neighbor", NODE)["state"].get("session_state") == 6)

    def received(self, router: str, family: int) -> Mapping[str, Received]:
        routes = self.ask(router, "global", "rib", "-a", f"ipv{family}")
        return {prefix: _gobgp_path(paths[0]) for prefix, paths in routes.items() if paths[0].get("source-id") == NODE}

    def restart_capability(self, router: str) -> bool:
        return "GracefulRestartCapability" in json.dumps(self.ask(router, "neighbor", NODE)["state"]["remote_cap"])

    def stale(self, router: str, prefix: str) -> bool:
        return any(path["stale"] for path in self.ask(router, "global", "rib").get(prefix, ()))


def _gobgp_path(path: dict[str, Any]) -> Received:
    attributes = {attribute["type"]: attribute for attribute in path["attrs"]}
    communities = attributes.get(8, {}).get("communities", ())
    large = attributes.get(32, {}).get("value", ())
    hops = [attributes[number]["nexthop"] for number in (3, 14) if number in attributes]
    return Received(
        as_path=tuple(number for segment in attributes[2]["as_paths"] for number in segment["asns"]),
        next_hops=frozenset(hops),
        med=attributes.get(4, {}).get("metric", 0),
        communities=frozenset(f"{value >> 16}:{value & 0xFFFF}" for value in communities),
        large_communities=frozenset(f"{each['ASN']}:{each['LocalData1']}:{each['LocalData2']}" for each in large),
    )


ROUTERS = {"frr": Frr, "gobgp": GoBgp}


@contextmanager
def interop(router: str, folder: Path) -> Iterator[External]:
    """The lab with FRR or GoBGP as both routers, all sessions of ours Established."""
    shutil.copytree(HERE / "lab", folder / "lab")
    shutil.copytree(SCENARIOS / "node", folder / "node")
    file = folder / "lab" / "interop.clab.yml"
    file.write_text(file.read_text().replace("ROUTER", router))
    topology = load(file, f"interop-{router}-{os.getpid()}")
    said: list[str] = []
    labs.up(topology, say=said.append)
    try:
        assert not said, said
        lab = Lab(topology, folder / "lab")
        for state in ("converged", "established"):
            done = lab.birdctl("wait", "--for", state, "--lab", lab.name, "--node", "node1")
            assert done.returncode == 0, done.stderr
        yield ROUTERS[router](lab)
    finally:
        labs.down(topology.name)
