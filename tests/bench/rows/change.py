"""One service address changes at 500 peers and 2,000 services: when does an Established peer have the new one?

250 nodes and 249 external peers are real sessions too, to one BIRD that plays them all; the witness is a BIRD of its
own that puts what it is told into its kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.apiserver import Api
from tests.bench.emulated import start_peers, start_witness
from tests.bench.manifests import write_manifest, write_manifests
from tests.bench.network import Network
from tests.bench.node import Node
from tests.bench.objects import NAMESPACE, cluster, service, service_address
from tests.bench.observer import Observer
from tests.bench.report import Measured, Row, duration, percentile

_NODES, _EXTERNAL, _SERVICES = 251, 250, 2000
_CHANGES = 50
_PAUSE = 0.5
_WITNESS = _NODES + _EXTERNAL

Change = Callable[[int, str], None]
"""Gives the service of this number this address instead of its own."""


@contextmanager
def _node(scratch: Path) -> Iterator[Node]:
    """The node under test, and peers for every session that it will have."""
    with Network() as network:
        node = Node(network, scratch, 1, ())
        node.start_bird()
        start_peers(network, scratch, node, range(2, _NODES + 1), range(_NODES + 1, _WITNESS))
        start_witness(network, scratch, node, _WITNESS)
        yield node


def _measure(node: Node, source: Iterable[str | Path], change: Change) -> Measured:
    seconds = []
    with Observer(["witness"]) as observer:
        told = observer.since["witness"]
        node.start_agent([*source])
        observer.wait(lambda: len(told) >= _SERVICES, 120, "all service addresses at the witness")
        time.sleep(10 * _PAUSE)
        for number in range(_CHANGES):
            new = service_address(_SERVICES + number)
            begun = time.monotonic()
            change(number * 37 % _SERVICES, new)
            observer.wait(lambda: f"{new}/32" in told, 30, f"{new} at the witness")  # noqa: B023
            seconds.append(told[f"{new}/32"] - begun)
            time.sleep(_PAUSE)
    middle, tail = percentile(seconds, 50), percentile(seconds, 99)
    shown = f"p50 {duration(middle)}, p99 {duration(tail)} of {len(seconds)}"
    return Measured(value=tail, shown=shown, samples={"seconds": seconds})


def _from_api_server(scratch: Path) -> Measured:
    with _node(scratch) as node, Api(scratch / "api") as api:
        api.create(cluster(_NODES, _EXTERNAL, _SERVICES))

        def change(number: int, address: str) -> None:
            api.patch("Service", f"s{number}", {"spec": {"externalIPs": [address]}}, namespace=NAMESPACE)

        return _measure(node, ("--kubeconfig", api.kubeconfig), change)


def _from_manifests(scratch: Path) -> Measured:
    folder = scratch / "manifests"
    write_manifests(folder, cluster(_NODES, _EXTERNAL, _SERVICES))

    def change(number: int, address: str) -> None:
        document = service(number)
        document["spec"]["externalIPs"] = [address]
        write_manifest(folder, document)

    with _node(scratch) as node:
        return _measure(node, ("--manifests", folder), change)


API_SERVER = Row(
    name="change",
    what="one service address changed at 500 peers / 2,000 services (API server) -> a peer has the UPDATE",
    peer="- (3-4 s is the best published)",
    goal=0.15,
    goal_shown="<= 150 ms",
    measure=_from_api_server,
)
MANIFESTS = Row(
    name="change-manifest",
    what="the same, changed in a manifest folder of 4,500 files",
    peer="-",
    goal=0.15,
    goal_shown="<= 150 ms",
    measure=_from_manifests,
)
