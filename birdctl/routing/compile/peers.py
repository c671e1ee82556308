"""External peers: from whatever names them to one session and what it may exchange.

A peer is named by a BGPPeer, by the settings or by its node's annotations (`peer_objects`, `peer_lists`). Here they
come together: what only this node can tell is checked, and no neighbour is taken twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from birdctl.addresses import Address, Family, family
from birdctl.cluster.faults import Faults
from birdctl.errors import InputError
from birdctl.routing.compile import features
from birdctl.routing.compile.configuration import Configuration
from birdctl.routing.compile.names import digit, symbol
from birdctl.routing.compile.nodes import NodeFacts
from birdctl.routing.compile.topology import IBGP_TTL
from birdctl.routing.model import (
    AddPaths,
    Attributes,
    Bfd,
    Channel,
    GracefulRestart,
    Limit,
    NextHopSelf,
    PeerType,
    PrefixPattern,
    Session,
    Timers,
)
from birdctl.secret import Secret


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """An external peer of this node, checked by itself. `families` empty: the one of its address.

    `allow` is what it may teach. Everything it is sent gets `attributes` and our ASN `prepend` times. `field` and
    `local_field` say where its origin gives the two addresses.
    """

    name: str
    origin: str
    remote_asn: int
    timers: Timers
    attributes: Attributes
    address: Address | None = None
    interface: str | None = None
    port: int = 179
    local_asn: int | None = None
    local_address: Address | None = None
    password: Secret | None = None
    multihop: int | None = None
    ttl_security: bool = False
    graceful_restart: GracefulRestart | None = None
    bfd: Bfd | None = None
    families: tuple[Family, ...] = ()
    next_hop_self: bool = True
    passive: bool = False
    allow_as_in: int = 0
    add_paths: AddPaths = AddPaths.OFF
    allow: tuple[PrefixPattern, ...] = ()
    import_limit: Limit | None = None
    export_pods: bool = True
    export_limit: Limit | None = None
    prepend: int = 0
    field: str = "spec.address"
    local_field: str = "spec.localAddress"


class External(msgspec.Struct, frozen=True, kw_only=True):
    """A peer with its session on this node."""

    peer: Peer
    session: Session

    @property
    def is_internal(self) -> bool:
        """An iBGP session: the only kind that carries local preference."""
        return self.session.local_asn == self.session.remote_asn


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer's session is checked against: `neighbours` are the addresses that have a session already."""

    own: NodeFacts
    nodes: Mapping[str, NodeFacts]
    neighbours: Mapping[Address, str]
    asn: int
    configuration: Configuration
    version: tuple[int, ...]


def externals(peers: Iterable[Peer], around: Surroundings) -> tuple[tuple[External, ...], tuple[InputError, ...]]:
    """The sessions with `peers`, earlier ones first in a dispute about a name or an address."""
    found: list[External] = []
    problems: list[InputError] = []
    names: dict[str, str] = {}
    taken = dict(around.neighbours)
    places = {address: node.ref for node in around.nodes.values() for address in node.every_address}
    for peer in peers:
        faults = Faults(peer.origin)
        _check(peer, around, faults, names=names, taken=taken, places=places)
        session = _session(peer, around, faults)
        problems.extend(faults)
        if faults:
            continue
        names[peer.name] = peer.origin
        if peer.address:
            taken[peer.address] = peer.origin
        found.append(External(peer=peer, session=session))
    return tuple(found), tuple(problems)


def _check(
    peer: Peer,
    around: Surroundings,
    faults: Faults,
    *,
    names: Mapping[str, str],
    taken: Mapping[Address, str],
    places: Mapping[Address, str],
) -> None:
    own = around.own
    if peer.address in own.every_address:
        faults.add(peer.field, f"{peer.address} is an address of {own.ref} itself")
    elif peer.address and peer.address in taken:
        faults.add(peer.field, f"{peer.address} is the neighbour of {taken[peer.address]} already")
    elif peer.name in names:
        faults.add("metadata.name", f"{names[peer.name]} has this name already")
    local = peer.local_address
    if local and local in places and local not in own.every_address:
        faults.add(peer.local_field, f"{local} is an address of {places[local]}, not of {own.ref}")
    if peer.address is None:
        features.require("unnumbered peers", around.version, "spec.interface", faults)


def _session(peer: Peer, around: Surroundings, faults: Faults) -> Session:
    own, configuration = around.own, around.configuration
    local_asn = peer.local_asn or around.asn
    multihop = peer.multihop or (IBGP_TTL if local_asn == peer.remote_asn and peer.address else None)
    local_address = _local_address(peer, own, multihop)
    return Session(
        name=symbol("peer", peer.name),
        peer=peer.name,
        type=PeerType.EXTERNAL,
        origin=peer.origin,
        local_asn=local_asn,
        remote_asn=peer.remote_asn,
        address=peer.address,
        interface=peer.interface,
        port=peer.port,
        local_address=local_address,
        local_port=configuration.port,
        strict_bind=own.listens_only and local_address is not None,
        multihop=multihop,
        ttl_security=peer.ttl_security,
        passive=peer.passive,
        password=peer.password,
        timers=peer.timers,
        graceful_restart=peer.graceful_restart,
        bfd=peer.bfd,
        allow_as_in=peer.allow_as_in,
        channels=_channels(peer, own, faults),
    )


def _local_address(peer: Peer, own: NodeFacts, multihop: int | None) -> Address | None:
    """The address of the node as others know it, unless BIRD must take the one on the link to the peer."""
    if peer.local_address or peer.address is None or peer.address.is_link_local:
        return peer.local_address
    return own.addresses.get(family(peer.address)) if multihop or own.listens_only else None


def _channels(peer: Peer, own: NodeFacts, faults: Faults) -> tuple[Channel, ...]:
    session_family = family(peer.address) if peer.address else Family.IPV6
    wanted = peer.families or ((session_family,) if peer.address else tuple(own.addresses))
    carried = [each for each in Family if each in wanted and each in own.addresses]
    if not carried:
        faults.add(peer.field, f"{own.ref} has no address of {' or '.join(wanted)}")
    return tuple(_channel(each, peer, own, session_family) for each in carried)


def _channel(each: Family, peer: Peer, own: NodeFacts, session_family: Family) -> Channel:
    on_link = peer.address is None or peer.address.is_link_local
    foreign = each is not session_family
    return Channel(
        family=each,
        import_filter=symbol(f"in{digit(each)}", peer.name),
        export_filter=symbol(f"out{digit(each)}", peer.name),
        next_hop_self=NextHopSelf.ALL if peer.next_hop_self else NextHopSelf.OFF,
        next_hop_address=own.addresses[each] if foreign and not on_link else None,
        add_paths=peer.add_paths,
        extended_next_hop=foreign and on_link,
        keep_filtered=True,
        import_limit=peer.import_limit,
        export_limit=peer.export_limit,
    )
