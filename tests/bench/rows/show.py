"""`birdctl show peers`, the whole process, on a node with 100 Established peers."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.emulated import start_peers
from tests.bench.manifests import write_manifests
from tests.bench.network import Network
from tests.bench.node import Node
from tests.bench.objects import cluster
from tests.bench.report import Measured, Row, spread
from tests.polling import eventually

_PEERS = 100
_RUNS = 20


def _measure(scratch: Path) -> Measured:
    folder = scratch / "manifests"
    write_manifests(folder, cluster(_PEERS + 1, 0, 0))
    seconds = []
    with Network() as network:
        node = Node(network, scratch, 1, ())
        node.start_bird()
        start_peers(network, scratch, node, range(2, _PEERS + 2), ())
        node.start_agent(["--manifests", folder])
        eventually(lambda: len(node.started_sessions()) == _PEERS, 30)
        for _ in range(_RUNS):
            begun = time.monotonic()
            shown = node.run("show", "peers", *node.places)
            seconds.append(time.monotonic() - begun)
            assert shown.stdout.count("Established") == _PEERS, shown.stdout
    return Measured(value=sorted(seconds)[len(seconds) // 2], shown=spread(seconds), samples={"seconds": seconds})


SHOW_PEERS = Row(
    name="show-peers",
    what="`birdctl show peers`, whole process, 100 peers",
    peer="-",
    goal=0.3,
    goal_shown="<= 0.3 s",
    measure=_measure,
)
