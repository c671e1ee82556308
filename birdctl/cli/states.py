"""BGPNodeState objects: what every agent last said of its node, for those who have no node to ask."""

from __future__ import annotations

from typing import Any

import msgspec

from birdctl.errors import BackendError
from birdctl.observe.views import BfdSession, Peer
from birdctl.settings import Settings

_PATH = "/apis/birdctl.io/v1alpha1/bgpnodestates"


class Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class NodeState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`status` of one BGPNodeState, with its node's name."""

    node: str = ""
    peers: tuple[Peer, ...] = ()
    bfd: tuple[BfdSession, ...] = ()
    conditions: tuple[Condition, ...] = ()
    last_error: str = ""
    bird: dict[str, Any] = {}


class _Metadata(msgspec.Struct, frozen=True):
    name: str


class _Item(msgspec.Struct, frozen=True):
    metadata: _Metadata
    status: NodeState = NodeState()


class _List(msgspec.Struct, frozen=True):
    items: tuple[_Item, ...]


def node_states(settings: Settings) -> tuple[NodeState, ...]:
    """One for each node whose agent writes them, by name. Raises Unavailable, BackendError."""
    from birdctl.cluster.apiclient import ApiClient  # noqa: PLC0415 - only who asks the API server pays for it

    body = ApiClient.connect(settings.kubeconfig, master=settings.master).request("GET", _PATH)
    try:
        items = msgspec.json.decode(body, type=_List).items
    except msgspec.MsgspecError as error:
        raise BackendError(f"the API server's BGPNodeStates cannot be understood: {error}") from None
    states = (msgspec.structs.replace(item.status, node=item.metadata.name) for item in items)
    return tuple(sorted(states, key=lambda state: state.node))
