"""Which nodes have a session with this one, and of what kind.

Both ends compute the same answer from the same facts: a session exists when one node reflects for the other or both
are part of the mesh, and the numerically lower address connects.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from birdctl.addresses import Address, Family, sort_key
from birdctl.errors import InputError
from birdctl.routing.compile import reflectors, values
from birdctl.routing.compile.configuration import NAME, Configuration
from birdctl.routing.compile.names import digit, symbol
from birdctl.routing.compile.nodes import NodeFacts
from birdctl.routing.model import Channel, NextHopSelf, PeerType, Session
from birdctl.routing.options import RoutingOptions

IBGP_TTL = 64
_OWN_ROUTER_ID = ""


class Fabric(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions between nodes. `asn` None: this node has none, so it can have no session at all."""

    asn: int | None
    sessions: tuple[Session, ...] = ()
    problems: tuple[InputError, ...] = ()
    recheck_at: float | None = None


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes with their roles in force."""

    nodes: Mapping[str, NodeFacts]
    recheck_at: float | None = None
    problems: tuple[InputError, ...] = ()


def fabric(
    own: NodeFacts, nodes: Mapping[str, NodeFacts], configuration: Configuration, options: RoutingOptions, now: float
) -> Fabric:
    asns = {name: configuration.asn if options.nodes_full_mesh else node.asn for name, node in nodes.items()}
    asn = asns[own.name]
    if asn is None:
        return Fabric(asn=None, problems=(_without_asn(own),))
    if configuration.topology == "None":
        return Fabric(asn=asn)
    choice = _with_roles(nodes, configuration, now)
    builder = _Sessions(choice.nodes[own.name], asn, configuration)
    for name in sorted(choice.nodes.keys() - {own.name}):
        if asns[name] is None:
            builder.problems.append(_without_asn(nodes[name]))
        elif asns[name] == asn:
            builder.add(choice.nodes[name])
    return Fabric(
        asn=asn,
        sessions=tuple(builder.sessions),
        problems=(*choice.problems, *builder.problems),
        recheck_at=choice.recheck_at,
    )


def _without_asn(node: NodeFacts) -> InputError:
    problem = "needs the annotation birdctl.io/node.asn, because --nodes-full-mesh is off: no session with it"
    return InputError(node.ref, "metadata.annotations", problem)


def _with_roles(nodes: Mapping[str, NodeFacts], configuration: Configuration, now: float) -> _Choice:
    """The nodes with the roles that the BGPConfiguration gives them, if it does, else those of their annotations."""
    spec = configuration.reflectors
    if spec is None:
        return _Choice(nodes=nodes)
    recheck_at = None
    if spec.node_selector is not None:
        chosen = frozenset(name for name, node in nodes.items() if spec.node_selector.matches(node.labels))
    else:
        chosen, recheck_at = reflectors.choose(nodes.values(), spec.count or 1, spec.spread_by, now)
    if not chosen:
        problem = InputError(f"BGPConfiguration {NAME}", "spec.routeReflectors", "selects no node: full mesh instead")
        roles = {name: msgspec.structs.replace(node, serves=None, served_by=None) for name, node in nodes.items()}
        return _Choice(nodes=roles, problems=(problem,))
    identifier = values.cluster_id(spec.cluster_id) if spec.cluster_id else _OWN_ROUTER_ID
    roles = {
        name: msgspec.structs.replace(
            node, serves=identifier if name in chosen else None, served_by=None if name in chosen else identifier
        )
        for name, node in nodes.items()
    }
    return _Choice(nodes=roles, recheck_at=recheck_at)


def _relation(own: NodeFacts, peer: NodeFacts) -> PeerType | None:
    """What the session with `peer` is for, None for no session."""
    if own.serves is not None and own.serves == peer.served_by:
        return PeerType.CLIENT
    if peer.serves is not None and peer.serves == own.served_by:
        return PeerType.REFLECTOR
    return PeerType.MESH if _in_mesh(own) and _in_mesh(peer) else None


def _in_mesh(node: NodeFacts) -> bool:
    return node.served_by is None or node.serves is not None


class _Sessions:
    """The sessions of `own`, which has its roles, in the order they are added."""

    def __init__(self, own: NodeFacts, asn: int, configuration: Configuration) -> None:
        self._own = own
        self._asn = asn
        self._configuration = configuration
        self._taken = dict.fromkeys(own.every_address, own.ref)
        self.sessions: list[Session] = []
        self.problems: list[InputError] = []

    def add(self, peer: NodeFacts) -> None:
        """The session with `peer`, if there is to be one, or why there cannot be."""
        kind = _relation(self._own, peer)
        if kind is None or not peer.addresses:
            return
        families = tuple(each for each in self._own.families if each in peer.addresses)
        if not families:
            self._refuse(peer, f"no address family in common with {self._own.ref}")
            return
        address = peer.addresses[families[0]]
        if address in self._taken:
            self._refuse(peer, f"{address} is also an address of {self._taken[address]}")
            return
        self._taken[address] = peer.ref
        self.sessions.append(self._session(peer, kind, families))

    def _refuse(self, peer: NodeFacts, problem: str) -> None:
        self.problems.append(InputError(peer.ref, "status.addresses", f"{problem}: no session with it"))

    def _session(self, peer: NodeFacts, kind: PeerType, families: tuple[Family, ...]) -> Session:
        own, configuration = self._own, self._configuration
        mine, theirs = own.addresses[families[0]], peer.addresses[families[0]]
        return Session(
            name=symbol("node", peer.name),
            peer=peer.name,
            type=kind,
            origin=peer.ref,
            local_asn=self._asn,
            remote_asn=self._asn,
            address=theirs,
            port=configuration.port,
            local_address=mine,
            local_port=configuration.port,
            strict_bind=own.listens_only,
            multihop=IBGP_TTL,
            passive=sort_key(mine) > sort_key(theirs),
            timers=configuration.timers,
            graceful_restart=configuration.graceful_restart,
            reflector_client=kind is PeerType.CLIENT,
            cluster_id=own.serves or None,
            channels=tuple(_channel(each, mine, own) for each in families),
        )


def _channel(each: Family, session_address: Address, own: NodeFacts) -> Channel:
    address = own.addresses[each]
    return Channel(
        family=each,
        import_filter=f"mesh_in{digit(each)}",
        export_filter=f"mesh_out{digit(each)}",
        next_hop_self=NextHopSelf.EBGP,
        next_hop_address=None if address == session_address else address,
    )
