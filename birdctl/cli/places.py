"""Where an answer is read: this node, the nodes of a lab, or the API server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from birdctl.cli.tables import few
from birdctl.errors import BirdctlError, InputError, Unavailable
from birdctl.reconcile import control
from birdctl.routing import inventory
from birdctl.routing.commit import BirdBackend
from birdctl.routing.inventory import Inventory
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.store import Cluster

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One node's files and sockets, reachable from here. `netns` is its network namespace in a lab."""

    node: str
    runtime_dir: Path
    bird_socket: Path
    bird_config: Path
    netns: str | None = None

    def bird(self) -> BirdBackend:
        return BirdBackend(self.bird_socket, self.bird_config, self.runtime_dir)

    def inventory(self) -> Inventory:
        """The names of the last commit; without one, BIRD's own names have to do. Raises BackendError."""
        return inventory.read(self.runtime_dir) or Inventory(node=self.node, digest="", version=(), router_id="")

    @property
    def has_birdctl(self) -> bool:
        """It runs here, ran here, or is about to: what starts it makes its folder first."""
        return self.runtime_dir.exists()

    @property
    def has_agent(self) -> bool:
        """An agent was started here."""
        return control.socket_path(self.runtime_dir).exists()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within, the thread and the programs it starts are in the node's network namespace. Raises Unavailable."""
        if self.netns is None:
            yield
            return
        from birdctl import syscalls  # noqa: PLC0415 - only a lab pays for it

        with ExitStack() as within:
            try:
                within.enter_context(syscalls.inside_network(Path("/run/netns") / self.netns))
            except OSError as error:
                raise Unavailable(f"{self.node} cannot be entered: {error.strerror}") from None
            yield

    @property
    def has_bird(self) -> bool:
        """A BIRD was here at least once."""
        return self.bird_socket.exists() or inventory.path(self.runtime_dir).exists()


def local(settings: Settings) -> Place:
    """The node birdctl runs on."""
    known = inventory.read(settings.runtime_dir)
    return Place(
        node=known.node if known else _of_agent(settings.runtime_dir) or settings.node,
        runtime_dir=settings.runtime_dir,
        bird_socket=settings.bird_socket,
        bird_config=settings.bird_config,
    )


def _of_agent(runtime_dir: Path) -> str:
    """The node that the agent is on; "" when none answers."""
    if not control.socket_path(runtime_dir).exists():
        return ""
    try:
        return str(control.ask(runtime_dir, "status")["node"])
    except BirdctlError:
        return ""


def here(args: argparse.Namespace) -> Place:
    """The node birdctl runs on, as flags and environment describe it."""
    return local(Settings.load(args, os.environ))


def of_lab(lab: str, runtime_dir: Path, *, only_ours: bool = False) -> tuple[Place, ...]:
    """The nodes of a running lab on which birdctl or, unless `only_ours`, a BIRD alone was started.

    Raises InputError for an unknown lab, and for one without any.
    """
    from birdctl.lab import record  # noqa: PLC0415 - only a lab pays for it

    places = [
        Place(
            node=node.name,
            runtime_dir=node.runtime_dir,
            bird_socket=node.bird_socket,
            bird_config=node.bird_config,
            netns=node.netns,
        )
        for node in record.nodes(lab, runtime_dir)
    ]
    found = tuple(place for place in places if place.has_birdctl or (place.has_bird and not only_ours))
    if not found:
        raise InputError(f"lab {lab}", "", f"none of its {len(places)} nodes runs {'birdctl' if only_ours else 'BIRD'}")
    return found


def existing_node(cluster: Cluster, node: str) -> str:
    """`node`, if that is the name of a Node. Raises InputError, saying which there are."""
    from birdctl.cluster.objects import Node  # noqa: PLC0415 - only who reads objects pays for them

    nodes = sorted(cluster.objects(Node))
    if node not in nodes:
        raise InputError("--node", "", f"there is no Node {node}; there are {few(nodes) or 'none'}")
    return node


def named(places: Sequence[Place], nodes: Sequence[str]) -> tuple[Place, ...]:
    """Those of `nodes`, or all. Raises InputError for a node that is not there."""
    known = {place.node: place for place in places}
    for node in nodes:
        if node not in known:
            raise InputError("--node", "", f"there is no node {node!r}; known are {', '.join(sorted(known))}")
    return tuple(known[node] for node in nodes) if nodes else tuple(places)


def ask_all(places: Sequence[Place], read: Callable[[Place], Iterable[T]]) -> tuple[list[T], list[str]]:
    """The items of all places, in their order, and one line for each place that failed."""

    def ask(place: Place) -> tuple[list[T], str]:
        try:
            return list(read(place)), ""
        except BirdctlError as error:
            return [], f"{place.node}: {error}"

    answers = _in_parallel(places, ask)
    return [item for items, _ in answers for item in items], [failure for _, failure in answers if failure]


def _in_parallel(places: Sequence[Place], ask: Callable[[Place], A]) -> list[A]:
    if len(places) == 1:
        return [ask(places[0])]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only who asks several pays for it

    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(ask, places))
