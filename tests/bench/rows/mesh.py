"""The full mesh, from Node objects of an API server: 20 nodes cold, one joining, memory; a Node added to 50."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.apiserver import Api
from tests.bench.network import Network
from tests.bench.node import Mesh, Node
from tests.bench.objects import node
from tests.bench.observer import Observer
from tests.bench.proc import memory
from tests.bench.report import Measured, Row, spread

_SIZE = 20
_LARGE, _ADDED = 50, 5
_COLD_RUNS = 3
# Lowest, middle and highest addresses: in a pair the lower one connects.
_JOINING = (1, 2, 10, 11, 19, 20)
# By then the others have noticed that the node went, and retry every second.
_GONE_SECONDS = 5.0


class Cluster:
    """A mesh, its API server and its observer."""

    def __init__(self, network: Network, api: Api, scratch: Path, size: int, spare: int = 0) -> None:
        self.api = api
        self.mesh = Mesh(network, scratch, size, spare)
        self.api.create(node(each.index) for each in self.mesh.nodes)

    @property
    def source(self) -> tuple[str | Path, ...]:
        return ("--kubeconfig", self.api.kubeconfig)

    def start(self, observer: Observer) -> float:
        """Starts every agent. Returns the seconds until each node has a route to every other."""
        begun = time.monotonic()
        for each in self.mesh.nodes:
            each.start_agent(self.source)
        count = len(self.mesh.nodes) - 1
        observer.wait(
            lambda: all(len(observer.since[each.name]) >= count for each in self.mesh.nodes), 120, "a cold mesh"
        )
        return max(when for each in self.mesh.nodes for when in observer.since[each.name].values()) - begun


@contextlib.contextmanager
def cluster(scratch: Path, size: int, spare: int = 0) -> Iterator[tuple[Cluster, Observer]]:
    """BIRDs run, Node objects exist, agents do not run yet."""
    with Network() as network, Api(scratch / "api") as api:
        made = Cluster(network, api, scratch, size, spare)
        with Observer(made.mesh.names) as observer:
            yield made, observer


def everywhere(observer: Observer, joined: Node, others: list[Node], since: float) -> float:
    """Seconds until the route of `joined` is in the kernel of all others."""
    observer.wait(lambda: all(joined.prefix in observer.since[each.name] for each in others), 60, "its route on others")
    return max(observer.since[each.name][joined.prefix] for each in others) - since


def _cold(scratch: Path) -> Measured:
    seconds = []
    for run in range(_COLD_RUNS):
        folder = scratch / str(run)
        folder.mkdir()
        with cluster(folder, _SIZE) as (made, observer):
            seconds.append(made.start(observer))
    return Measured(value=statistics.median(seconds), shown=spread(seconds), samples={"seconds": seconds})


def _join(scratch: Path) -> Measured:
    own, elsewhere = [], []
    with cluster(scratch, _SIZE) as (made, observer):
        made.start(observer)
        for index in _JOINING:
            joining = made.mesh.nodes[index - 1]
            others = [each for each in made.mesh.nodes if each is not joining]
            joining.leave()
            joining.start_bird()
            time.sleep(_GONE_SECONDS)
            observer.forget()
            begun = joining.start_agent(made.source)
            elsewhere.append(everywhere(observer, joining, others, begun))
            observer.wait(lambda: len(observer.since[joining.name]) >= len(others), 60, "routes of a joining node")  # noqa: B023
            own.append(max(observer.since[joining.name].values()) - begun)
    seconds = [max(pair) for pair in zip(own, elsewhere, strict=True)]
    samples = {"routes in its kernel": own, "its route on all others": elsewhere}
    return Measured(value=statistics.median(seconds), shown=spread(seconds), samples=samples)


def _memory(scratch: Path) -> Measured:
    with cluster(scratch, _SIZE) as (made, observer):
        made.start(observer)
        time.sleep(_GONE_SECONDS)
        agents = [memory(each.agent.pid) for each in made.mesh.nodes if each.agent]
        birds = [memory(each.bird.pid) for each in made.mesh.nodes if each.bird]
    resident = [agent.resident + bird.resident for agent, bird in zip(agents, birds, strict=True)]
    share = [agent.proportional + bird.proportional for agent, bird in zip(agents, birds, strict=True)]
    return Measured(
        value=max(resident),
        shown=f"{max(resident):.0f} MB RSS (PSS {max(share):.0f} MB of {_SIZE} on one machine)",
        samples={
            "agent RSS": [each.resident for each in agents],
            "agent PSS": [each.proportional for each in agents],
            "BIRD RSS": [each.resident for each in birds],
            "BIRD PSS": [each.proportional for each in birds],
        },
    )


def _node_added(scratch: Path) -> Measured:
    seconds = []
    with cluster(scratch, _LARGE, spare=_ADDED) as (made, observer):
        made.start(observer)
        running = list(made.mesh.nodes)
        for added in made.mesh.spares:
            added.start_agent(made.source)
        time.sleep(_GONE_SECONDS)
        for added in made.mesh.spares:
            observer.forget()
            begun = time.monotonic()
            made.api.create([node(added.index)])
            seconds.append(everywhere(observer, added, running, begun))
            running.append(added)
            time.sleep(_GONE_SECONDS)
    return Measured(value=statistics.median(seconds), shown=spread(seconds), samples={"seconds": seconds})


JOIN = Row(
    name="join",
    what="a node joins a running 20-node mesh: agent started -> 19 routes in its kernel, its own on all others",
    peer="2.2 s",
    goal=1.2,
    goal_shown="<= 1.2 s",
    measure=_join,
)
COLD = Row(
    name="cold",
    what="20 nodes on one machine, API server: agents started -> each has 19 routes in the kernel",
    peer="4.4 s",
    goal=4.4,
    goal_shown="<= 4.4 s",
    measure=_cold,
)
MEMORY = Row(
    name="memory",
    what="resident memory per node, agent + BIRD, 20-node mesh",
    peer="70 MB",
    goal=60,
    goal_shown="<= 60 MB",
    measure=_memory,
)
NODE_ADDED = Row(
    name="node-added",
    what="a Node added to a running 50-node mesh -> its route on all others",
    peer="-",
    goal=1.0,
    goal_shown="<= 1.0 s",
    measure=_node_added,
)
