"""What an agent knows of a node with two sessions."""

from __future__ import annotations

from birdctl.observe.sight import Sight
from birdctl.observe.state import Routing, State
from birdctl.observe.views import FamilyCounts, Peer
from birdctl.routing.inventory import Inventory, SessionNames
from birdctl.routing.model import PeerType
from birdctl.routing.state import BirdStatus


def names(peer: str, type_: PeerType, remote: int, local: int = 64512) -> SessionNames:
    return SessionNames(peer=peer, type=type_, origin="", remote_asn=remote, local_asn=local)


def state(uptime: int = 5, received: int = 1, tor: str = "Active") -> State:
    """A node with one mesh session that is up, and an external one."""
    sessions = {
        "peer_tor": names("tor", PeerType.EXTERNAL, 65001, 65000),
        "node_b": names("b", PeerType.MESH, 64512),
    }
    views = (
        Peer(
            node="a",
            peer="b",
            type="mesh",
            state="Established",
            protocol="node_b",
            uptime_seconds=uptime,
            families={"ipv4": FamilyCounts(received=received)},
        ),
        Peer(node="a", peer="tor", type="external", state=tor, protocol="peer_tor"),
    )
    status = BirdStatus(version=(2, 0, 12), router_id="192.0.2.1", uptime=60.5)
    routing = Routing(
        inventory=Inventory(node="a", digest="d", version=(2, 0, 12), router_id="192.0.2.1", sessions=sessions),
        synced=True,
        dirty=False,
        running="d",
        desired="d",
        sight=Sight(status=status, sessions=(), bfd=(), peers=views, at=0.0),
    )
    return State(node="a", routing=routing)
