"""The agent is killed (-9) and started again in a 20-node mesh, under a ping every 10 ms from one pod to another."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from tests.bench.node import Node
from tests.bench.report import Measured, Row
from tests.bench.rows.mesh import cluster
from tests.polling import eventually

_SIZE = 20
_RUNS = 3
_DOWN_SECONDS = 3.0
_AFTER_SECONDS = 5.0
_PING_SECONDS = 15


def _measure(scratch: Path) -> Measured:
    sessions, routes, packets = [], [], []
    with cluster(scratch, _SIZE) as (made, observer):
        made.start(observer)
        killed, other = made.mesh.nodes[6], made.mesh.nodes[13]
        here, there = killed.add_pods(), other.add_pods()
        eventually(lambda: len(killed.started_sessions()) == _SIZE - 1)
        for _ in range(_RUNS):
            before = [each.started_sessions() for each in made.mesh.nodes]
            observer.forget()
            ping = _ping(killed, here, there)
            time.sleep(1)
            killed.kill_agent()
            time.sleep(_DOWN_SECONDS)
            killed.start_agent(made.source)
            time.sleep(_AFTER_SECONDS)
            packets.append(_lost(ping))
            after = [each.started_sessions() for each in made.mesh.nodes]
            sessions.append(sum(len(old.items() - new.items()) for old, new in zip(before, after, strict=True)))
            routes.append(len(observer.lost))
    lost = [sum(sessions), sum(routes), sum(packets)]
    sent = _RUNS * _PING_SECONDS * 100
    shown = f"{lost[0]} sessions, {lost[1]} routes, {lost[2]} of {sent} packets lost in {_RUNS} restarts"
    samples = {"sessions lost": sessions, "routes lost": routes, "packets lost": packets}
    return Measured(value=sum(lost), shown=shown, samples=samples)


def _ping(node: Node, source: str, target: str) -> subprocess.Popen[str]:
    count = str(_PING_SECONDS * 100)
    return subprocess.Popen(
        ["ip", "netns", "exec", node.name, "ping", "-q", "-i", "0.01", "-c", count, "-I", source, target],
        stdout=subprocess.PIPE,
        text=True,
    )


def _lost(ping: subprocess.Popen[str]) -> int:
    summary, _ = ping.communicate()
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", summary).groups()
    return int(sent) - int(received)


RESTART = Row(
    name="restart",
    what="agent killed (-9) and restarted: sessions lost, routes missing, packets of a ping every 10 ms lost",
    peer="sessions drop, its route is lost on all others",
    goal=0,
    goal_shown="0, 0, 0",
    measure=_measure,
)
