"""Ends connections that policies now forbid.

A connection whose record is deleted begins again when its answering end goes on talking: to conntrack that is a new
connection the other way round, which may well be allowed. So the answering end's packets are refused for a while, too,
by the set `cut`; that does not hinder the initiator from connecting again once it is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from birdctl.addresses import Address
from birdctl.errors import BackendError
from birdctl.netfilter.conntrack import Conntrack, Flow
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.ipset_change import Membership
from birdctl.netfilter.model import Port
from birdctl.policies.compile.names import cut_set
from birdctl.policies.model import PolicyState
from birdctl.policies.packet import Packet
from birdctl.policies.simulate import verdict

_WITH_PORTS = ("tcp", "udp", "sctp")


def cut(
    conntrack: Conntrack,
    ipset: IpsetBackend,
    state: PolicyState,
    addresses: Collection[Address] | None,
    gone: Collection[Address],
    *,
    local: Collection[Address],
) -> int:
    """Cuts connections of `addresses` (None: of all) that `state` forbids, and all of addresses that are `gone`.

    `local` are the node's own. Returns how many. Raises Unavailable or BackendError.
    """
    wanted = None if addresses is None else {*addresses, *gone}
    number = 0
    for family, table in state.tables.items():
        flows = conntrack.flows(family, wanted) if table.chains or gone else ()
        orphans, forbidden = _sorted_out(flows, state, local, gone)
        if cut_set(family) in state.sets:
            _close(ipset, forbidden)
        conntrack.delete([*orphans, *forbidden])
        number += len(orphans) + len(forbidden)
    return number


def _sorted_out(
    flows: Iterable[Flow], state: PolicyState, local: Collection[Address], gone: Collection[Address]
) -> tuple[list[Flow], list[Flow]]:
    """Those of gone addresses, and those that are forbidden."""
    orphans, forbidden = [], []
    for flow in flows:
        if flow.source in gone or flow.destination in gone:
            orphans.append(flow)
        elif not _allowed(flow, state, local):
            forbidden.append(flow)
    return orphans, forbidden


def _allowed(flow: Flow, state: PolicyState, local: Collection[Address]) -> bool:
    """What the node itself begins or is asked passes no policy."""
    if flow.source in local or flow.destination in local:
        return True
    packet = Packet(
        source=flow.source,
        destination=flow.destination,
        protocol=flow.protocol,
        port=flow.port,
        source_port=flow.source_port,
    )
    return verdict(state, flow.family, "FORWARD", packet).allowed


def _close(ipset: IpsetBackend, flows: Iterable[Flow]) -> None:
    """Refuses what the answering ends go on to say."""
    entries: dict[str, list[Port]] = {}
    for flow in flows:
        if flow.protocol in _WITH_PORTS:
            port = Port(address=flow.destination, protocol=flow.protocol, port=flow.port, peer=flow.answers_to)
            entries.setdefault(cut_set(flow.family), []).append(port)
    errors = ipset.add(Membership(name=name, entries=ports) for name, ports in entries.items())
    for name, reason in errors.items():
        raise BackendError(f"ipset {name}: {reason}")
