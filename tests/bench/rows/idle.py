"""CPU of an agent that has nothing to do, in a cluster of 100 nodes with all sessions Established."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.apiserver import Api
from tests.bench.emulated import start_peers
from tests.bench.network import Network
from tests.bench.node import Node
from tests.bench.objects import cluster, node_name
from tests.bench.proc import cpu_seconds, wake_ups
from tests.bench.report import Measured, Row
from tests.polling import eventually

_NODES = 100
_SERVICES = 100
_SECONDS = 60
_SETTLE_SECONDS = 15
# A kubelet writes its Node's status every 5 minutes when nothing changes.
_HEARTBEAT_SECONDS = 300 / _NODES


def _measure(scratch: Path) -> Measured:
    with Network() as network, Api(scratch / "api") as api:
        node = Node(network, scratch, 1, ())
        node.start_bird()
        start_peers(network, scratch, node, range(2, _NODES + 1), ())
        api.create(cluster(_NODES, 0, _SERVICES))
        node.start_agent(["--kubeconfig", api.kubeconfig])
        eventually(lambda: len(node.started_sessions()) == _NODES - 1, 30)
        time.sleep(_SETTLE_SECONDS)
        agent = node.agent.pid
        woken = wake_ups(agent)
        quiet = _share(agent)
        woken = (wake_ups(agent) - woken) / _SECONDS
        beating = _share(agent, api)
    return Measured(
        value=quiet,
        shown=f"{quiet:.2f} % ({woken:.1f} wake-ups/s); with the kubelets' status updates {beating:.2f} %",
        samples={"percent": [quiet], "percent with heartbeats": [beating], "wake-ups per second": [woken]},
    )


def _share(process: int, api: Api | None = None) -> float:
    """CPU in percent of a core over a minute; with an API server, while Node statuses are written."""
    begun, used = time.monotonic(), cpu_seconds(process)
    beat = 0
    while (left := begun + _SECONDS - time.monotonic()) > 0:
        if api:
            _heartbeat(api, beat)
            beat += 1
        time.sleep(min(left, _HEARTBEAT_SECONDS))
    return (cpu_seconds(process) - used) / (time.monotonic() - begun) * 100


def _heartbeat(api: Api, beat: int) -> None:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    api.patch("Node", node_name(2 + beat % (_NODES - 1)), {"status": {"conditions": [ready]}}, subresource="status")


IDLE = Row(
    name="idle",
    what="CPU of an idle agent over a minute, 100-node cluster, 99 sessions Established",
    peer="-",
    goal=0.2,
    goal_shown="<= 0.2 % of a core",
    measure=_measure,
)
