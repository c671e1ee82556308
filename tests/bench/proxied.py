"""`python -m tests.bench.proxied MEASUREMENT SERVICES ENDPOINTS FOLDER KUBECONFIG ADMINISTRATOR`: in the machine.

Each start of the agent is on a new node, a network namespace: a kernel that has just deleted ten thousand real servers
compares each new one with all of them. `tests.bench.guest` makes the machine and runs this in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

from birdctl.cluster.apiclient import MERGE_PATCH, ApiClient, path_of
from birdctl.cluster.objects import EndpointSlice
from birdctl.errors import Unavailable
from birdctl.reconcile import control
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.model import Port, Protocol
from tests.bench.network import Network, address, inside
from tests.bench.node import BIRDCTL
from tests.bench.objects import NAMESPACE, node_name
from tests.bench.proc import memory
from tests.bench.report import Samples
from tests.bench.service_objects import PORT, TARGET_PORT, Size, changed, cluster_ip, new_endpoint, slice_name
from tests.bench.serving import CLUSTER_IP, NODE_PORT, Serving, copy_services
from tests.polling import eventually

UPLINK = "vec0"
"""The machine's cable to where the API server is."""
_NODE = node_name(1)
_PATIENCE = 60.0
_STARTS = 5
_CHANGES, _PAUSE = 200, 0.05
_LOST_SECONDS = 10.0
_RESYNC_PERIOD, _RESYNCS = 2.0, 8
CHURN, CHURN_RATE, SETTLE_SECONDS, READY = 1_000, 50.0, 3.0, "ready"
_REQUESTS, _REQUEST_SECONDS = 40, 60.0
_PAGE = 4096
_CLIENT, _CLIENT_INDEX = "client", 100


@dataclass(frozen=True)
class Place:
    """What is measured, in which cluster, and its files: for logs, the agent's kubeconfig, the administrator's."""

    measurement: str
    size: Size
    folder: Path
    kubeconfig: Path
    administrator: Path

    @classmethod
    def of(cls, measurement: str, services: str, endpoints: str, *files: str) -> Self:
        return cls(measurement, Size(services=int(services), endpoints=int(endpoints)), *map(Path, files))

    @property
    def arguments(self) -> list[str]:
        """What `of` makes the same of."""
        sizes = (self.size.services, self.size.endpoints)
        return [*map(str, (self.measurement, *sizes, self.folder, self.kubeconfig, self.administrator))]


class Agent:
    """Reads the API server and proxies services."""

    def __init__(self, network: Network, place: Place, *flags: str) -> None:
        self._network = network
        self._runtime_dir = Path(tempfile.mkdtemp())
        self._log = place.folder / "agent.log"
        where = ["--runtime-dir", self._runtime_dir, "--kubeconfig", place.kubeconfig, "--node", _NODE]
        command = [BIRDCTL, "agent", "--run-router=false", "--run-service-proxy", *where, *flags]
        begun = time.monotonic()
        self._process = network.start(command, on=_NODE, log=self._log)
        eventually(self._converged, _PATIENCE, pause=0.01)
        self.seconds_to_start = time.monotonic() - begun

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._network.end(self._process)

    def status(self) -> Mapping[str, Any]:
        """Empty while no agent answers."""
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            return control.ask(self._runtime_dir, "status")
        except Unavailable:
            return {}

    @property
    def last_pass(self) -> float:
        """Seconds that the agent's last pass took, as it says itself."""
        return float(control.ask(self._runtime_dir, "status")["domains"]["services"]["lastSyncSeconds"])

    def _converged(self) -> bool:
        return bool(self.status().get("converged"))


class Changes:
    """Changes of endpoints, each to an address that none had before."""

    def __init__(self, client: ApiClient, size: Size) -> None:
        self._client = client
        self._size = size
        self._count = 0

    def change(self, number: int) -> IPv4Address:
        """Asks the API server for one in the service of this number; the new address."""
        self._count += 1
        path = path_of(EndpointSlice, slice_name(number), namespace=NAMESPACE)
        self._client.request("PATCH", path, changed(number, self._size, self._count), MERGE_PATCH)
        return new_endpoint(self._count)

    def change_any(self) -> None:
        """One in the next service of all."""
        self.change((self._count + 1) * 37 % self._size.services)


class Listing:
    """/proc/net/ip_vs of the node that this thread is on."""

    def __init__(self) -> None:
        self._file = os.open("/proc/thread-self/net/ip_vs", os.O_RDONLY)

    def first(self, size: Size) -> list[int]:
        """Four services that are at its beginning, which costs little to read."""
        numbers = {f"{int(cluster_ip(number)):08X}:{PORT:04X}": number for number in range(size.services)}
        return [numbers[word] for word in self._begin().split() if word in numbers][:4]

    def seconds_until(self, endpoint: IPv4Address, begun: float) -> float | None:
        """Until it is listed for one of those; None: it never is."""
        while not _names(self._begin(), endpoint):
            if time.monotonic() - begun > _LOST_SECONDS:
                return None
            time.sleep(0.0005)
        return time.monotonic() - begun

    def _begin(self) -> str:
        return os.pread(self._file, _PAGE, 0).decode()


def _names(listing: str, endpoint: IPv4Address) -> bool:
    return f"{int(endpoint):08X}:{TARGET_PORT:04X}" in listing


class Bench:
    def __init__(self, network: Network, place: Place) -> None:
        self._network = network
        self.place = place
        self.size = place.size

    @contextlib.contextmanager
    def agent(self, *flags: str) -> Iterator[Agent]:
        """One that has converged, on a new node; this thread is on that meanwhile."""
        self._network.add(_NODE, [1])
        with inside(_NODE):
            agent = Agent(self._network, self.place, *flags)
            yield agent
            agent.kill()
        self._network.remove(_NODE)

    @contextlib.contextmanager
    def serving(self) -> Iterator[dict[str, tuple[Serving, str]]]:
        """Nodes of the same services, with their addresses, by who made them; and the machine of a client."""
        with contextlib.ExitStack() as nodes:
            ours, theirs = (
                nodes.enter_context(contextlib.closing(Serving(self._network, node_name(index), index)))
                for index in (1, 2)
            )
            self._network.add(_CLIENT, [_CLIENT_INDEX])
            agent = Agent(self._network, self.place)
            copy_services(ours, theirs, (address(1), address(2)))
            yield {"birdctl": (ours, address(1)), "ipvsadm": (theirs, address(2))}
            agent.kill()


def _sync(bench: Bench) -> Samples:
    passes, starts = [], []
    for _run in range(_STARTS):
        with bench.agent() as agent:
            passes.append(agent.last_pass)
            starts.append(agent.seconds_to_start)
            _check(bench.size)
    return {"pass": passes, "agent started": starts}


def _endpoint(bench: Bench) -> Samples:
    changes = Changes(ApiClient.connect(bench.place.administrator), bench.size)
    with bench.agent():
        listing = Listing()
        services = itertools.cycle(listing.first(bench.size))
        seconds = []
        for service in itertools.islice(services, _CHANGES):
            begun = time.monotonic()
            seconds.append(listing.seconds_until(changes.change(service), begun))
            time.sleep(_PAUSE)
    return {"seconds": [each for each in seconds if each is not None], "lost": [seconds.count(None)]}


def _churn(bench: Bench) -> Samples:
    """The agent's memory before and after changes that are made elsewhere."""
    with bench.agent() as agent:
        with (bench.place.folder / READY).open("w") as ready:
            os.fsync(ready.fileno())
        started = memory(agent.pid).resident
        time.sleep(CHURN / CHURN_RATE + 3 * SETTLE_SECONDS)
        assert _names(Path("/proc/thread-self/net/ip_vs").read_text(), new_endpoint(CHURN))
        return {"resident": [started, memory(agent.pid).resident]}


def _resync(bench: Bench) -> Samples:
    passes = []
    with bench.agent(f"--ipvs-sync-period={_RESYNC_PERIOD}s") as agent:
        for _ in range(_RESYNCS):
            before = agent.status()["lastSync"]
            eventually(lambda: agent.status()["lastSync"] != before, _PATIENCE, pause=0.1)  # noqa: B023
            passes.append(agent.last_pass)
    return {"pass": passes}


def _requests(bench: Bench) -> Samples:
    """Seconds of a request through each kind of address, of the agent's services and of ipvsadm's, in random turns."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with bench.serving() as nodes:
        ways = [(name, kind) for name in nodes for kind in ("ClusterIP", "NodePort")]
        until = time.monotonic() + _REQUEST_SECONDS
        while time.monotonic() < until:
            for name, kind in random.sample(ways, len(ways)):
                node, address = nodes[name]
                asked = (str(CLUSTER_IP), PORT) if kind == "ClusterIP" else (address, NODE_PORT)
                client = "" if kind == "ClusterIP" else _CLIENT
                seconds[f"{kind} {name}"].append(node.seconds(*asked, _REQUESTS, client))
    return {name: samples[1:] for name, samples in seconds.items()}


def _check(size: Size) -> None:
    with contextlib.closing(IpvsBackend()) as kernel:
        there = kernel.read()
    for number in range(size.services):
        found = there[Port(address=cluster_ip(number), protocol=Protocol.TCP, port=PORT)]
        assert len(found.real_servers) == size.endpoints, found


MEASUREMENTS: Mapping[str, Callable[[Bench], Samples]] = {
    "sync": _sync,
    "endpoint": _endpoint,
    "churn": _churn,
    "resync": _resync,
    "requests": _requests,
}


def main() -> None:
    place = Place.of(*sys.argv[1:])
    with Network(UPLINK) as network:
        print(json.dumps(MEASUREMENTS[place.measurement](Bench(network, place))))


if __name__ == "__main__":
    main()
