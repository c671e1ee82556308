"""One row per Node object of the source; without a source, and in a lab, one per BIRD.

SESSIONS are Established of configured: read from BIRD here, elsewhere what the node's agent last wrote on its Node.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from birdctl.cli import parser as parsers
from birdctl.cli import places, show
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.tables import Column
from birdctl.errors import BirdctlError
from birdctl.observe.sessions import sessions
from birdctl.observe.views import NodeSummary, SessionCount
from birdctl.reconcile import sources
from birdctl.routing.model import BirdConfig, PeerType
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.objects import Node
    from birdctl.cluster.store import Cluster


def _sessions(node: NodeSummary) -> str | None:
    return f"{node.sessions.established}/{node.sessions.configured}" if node.sessions else None


def _tone(node: NodeSummary) -> str:
    if node.sessions is None:
        return ""
    return "good" if node.sessions.established == node.sessions.configured else "bad"


COLUMNS: tuple[Column[NodeSummary], ...] = (
    Column("NODE", lambda node: node.node),
    Column("ADDRESSES", lambda node: ",".join(node.addresses)),
    Column("AS", lambda node: node.asn),
    Column("POD-CIDRS", lambda node: ",".join(node.pod_cidrs)),
    Column("ROLE", lambda node: node.role),
    Column("SESSIONS", _sessions, tone=_tone),
    Column("ROUTER-ID", lambda node: node.router_id, wide=True),
    Column("BIRD", lambda node: node.bird_version, wide=True),
)

VIEW: View[NodeSummary, NodeSummary] = View(
    kind="NodeList", what="nodes", columns=COLUMNS, name=lambda node: f"node/{node.node}"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)
    parsers.add_settings(parser, ("manifests",))


def run(args: argparse.Namespace) -> int:
    settings = Settings.load(args, os.environ)
    args.all_nodes = args.all_nodes or sources.is_known(settings)
    return show.run(args, VIEW, show.Reader(read, of_source, only_ours=True))


def read(place: Place) -> list[NodeSummary]:
    """What one BIRD and its inventory say of their node. Raises Unavailable, BackendError."""
    inventory, bird = place.inventory(), place.bird()
    status = bird.status()
    names = inventory.sessions.values()
    return [
        NodeSummary(
            node=inventory.node,
            addresses=tuple(sorted({each.local_address for each in names if each.local_address})),
            asn=next((each.local_asn for each in names), None),
            pod_cidrs=tuple(sorted(_pods(inventory.originated.values()))),
            role=_role(each.type for each in names),
            sessions=_count(place),
            router_id=status.router_id or None,
            bird_version=".".join(map(str, status.version)),
        )
    ]


def _pods(originated: Iterable[dict[str, str]]) -> Iterator[str]:
    return (prefix for prefixes in originated for prefix, source in prefixes.items() if source == "pod")


def _role(types: Iterable[PeerType]) -> Literal["node", "reflector", "client"]:
    found = set(types)
    if PeerType.CLIENT in found:
        return "reflector"
    return "client" if PeerType.REFLECTOR in found else "node"


def _count(place: Place) -> SessionCount:
    found = list(sessions(place.inventory(), place.bird().sessions()))
    return SessionCount(established=sum(each.is_up for each in found), configured=len(found))


def of_source(settings: Settings) -> list[NodeSummary]:
    """Every node as the objects have it. Raises Unavailable when their source is not there."""
    from birdctl.cluster.objects import Node  # noqa: PLC0415 - only who reads objects pays for them

    cluster, here = sources.load(settings), places.local(settings)
    found = cluster.objects(Node)
    return [_summary(settings, cluster, found[name], here) for name in sorted(found)]


def _summary(settings: Settings, cluster: Cluster, node: Node, here: Place) -> NodeSummary:
    from birdctl.cli.render import OLDEST, compile_node  # noqa: PLC0415
    from birdctl.routing.compile.nodes import facts  # noqa: PLC0415

    config: BirdConfig = compile_node(settings, cluster, node.name, OLDEST).config
    known = facts(node, settings.routing())
    return NodeSummary(
        node=node.name,
        addresses=tuple(map(str, known.addresses.values())),
        asn=_cluster_asn(settings, cluster) if settings.nodes_full_mesh else known.asn,
        pod_cidrs=tuple(map(str, known.pod_cidrs)),
        role=_role(session.type for session in config.sessions),
        sessions=_live(here) if node.name == here.node else _written(node),
        router_id=config.router_id if known.addresses else None,
    )


def _cluster_asn(settings: Settings, cluster: Cluster) -> int:
    from birdctl.cluster.bgp import BGPConfiguration  # noqa: PLC0415
    from birdctl.routing.compile.configuration import configuration  # noqa: PLC0415

    return configuration(cluster.objects(BGPConfiguration), settings.routing())[0].asn


def _live(here: Place) -> SessionCount | None:
    try:
        return _count(here)
    except BirdctlError:
        return None


def _written(node: Node) -> SessionCount | None:
    established, _, configured = node.metadata.annotations.get("birdctl.io/bgp-state", "").partition("/")
    if established.isdecimal() and configured.isdecimal():
        return SessionCount(established=int(established), configured=int(configured))
    return None
