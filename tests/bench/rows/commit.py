"""One full pass (compile, render, check, commit, read back) at three sizes: is it fast, and linear?"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from birdctl.cluster.decode import decode
from birdctl.cluster.objects import Object
from birdctl.cluster.store import Cluster
from birdctl.reconcile.reconciler import Reconciler
from birdctl.settings import Settings
from tests.bench.network import Network
from tests.bench.node import Node
from tests.bench.objects import SERVICE_RANGE, Document, cluster
from tests.bench.report import Measured, Row, duration

_SIZES = ((250, 1000), (500, 2000), (1000, 4000))
_GOAL_SIZE = _SIZES[1]
_RUNS = 5


def _measure(scratch: Path) -> Measured:
    samples: defaultdict[str, list[float]] = defaultdict(list)
    for shape in ("mesh", "external"):
        for peers, services in _SIZES:
            documents = _documents(shape, peers, services)
            for run in range(_RUNS):
                folder = scratch / f"{shape}-{peers}-{run}"
                folder.mkdir()
                for part, seconds in _pass(folder, documents).items():
                    samples[f"{shape} {peers}/{services} {part}"].append(seconds)
    totals = {
        (shape, size): statistics.median(samples[f"{shape} {size[0]}/{size[1]} total"])
        for shape in ("mesh", "external")
        for size in _SIZES
    }
    shown = "; ".join(
        f"{shape}: " + " / ".join(duration(totals[shape, size]) for size in _SIZES) for shape in ("mesh", "external")
    )
    return Measured(value=max(totals["mesh", _GOAL_SIZE], totals["external", _GOAL_SIZE]), shown=shown, samples=samples)


def _documents(shape: str, peers: int, services: int) -> list[Document]:
    """All peers are nodes but one, or all are external."""
    return cluster(peers, 1, services) if shape == "mesh" else cluster(1, peers, services)


def _pass(folder: Path, documents: Sequence[Document]) -> dict[str, float]:
    """Seconds of the parts of a pass from BIRD's bootstrap configuration to everything."""
    with Network() as network:
        node = Node(network, folder, 1, ())
        node.start_bird()
        objects = [each for each in map(decode, documents) if isinstance(each, Object)]
        reconciler = Reconciler(_settings(node), Cluster.of(*objects))
        begun = time.monotonic()
        prepared = reconciler.prepare()
        planned = time.monotonic()
        reconciler.carry_out(prepared)
        committed = time.monotonic()
        sessions = reconciler.backend.sessions()
        ended = time.monotonic()
    assert len(sessions) == len(prepared.inventory.sessions)
    return {
        "plan": planned - begun,
        "commit": committed - planned,
        "read back": ended - committed,
        "total": ended - begun,
    }


def _settings(node: Node) -> Settings:
    return Settings(
        node=node.name,
        bird_socket=node.socket,
        bird_config=node.config,
        runtime_dir=node.runtime_dir,
        service_external_ip_range=(ip_network(SERVICE_RANGE),),
    )


COMMIT = Row(
    name="commit",
    what="compile + render + check + commit + read back, all new: 250 / 500 / 1,000 peers, 4 service prefixes each",
    peer="-",
    goal=1.0,
    goal_shown="<= 1.0 s at 500, linear",
    measure=_measure,
)
