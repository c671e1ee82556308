"""Routes as people know them: BIRD's tables joined with the kernel's and with the names of the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from birdctl.addresses import Address, Prefix, sort_key
from birdctl.observe.views import NextHop, Route, RouteSource
from birdctl.routing import state
from birdctl.routing.inventory import Inventory, of_protocol
from birdctl.routing.state import RouteState, SessionState

KERNEL_PROTOCOLS = ("kernel4", "kernel6")
"""BIRD's protocols that write the kernel's table, and read what others put there."""

KernelRoutes = Mapping[Prefix, Sequence[state.NextHop]]
"""What the kernel has from BIRD: the next hops of each prefix."""


def routes(
    inventory: Inventory, found: Iterable[RouteState], sessions: Iterable[SessionState], kernel: KernelRoutes
) -> tuple[Route, ...]:
    """One view per route of BIRD, by prefix, the best first, without those that the kernel told it.

    What the node originates never goes into the kernel: it is neither installed nor missing there.
    """
    names = {each.router_id: of_protocol(inventory.sessions, each.protocol) for each in sessions if each.router_id}
    nodes = {router: each.peer for router, each in names.items() if each and each.type != "external"}
    ours = (each for each in found if each.protocol not in KERNEL_PROTOCOLS)
    ordered = sorted(ours, key=lambda each: (sort_key(each.prefix), not each.best, each.protocol))
    return tuple(_route(inventory, each, nodes, kernel) for each in ordered)


def _route(inventory: Inventory, found: RouteState, nodes: Mapping[str, str], kernel: KernelRoutes) -> Route:
    names = of_protocol(inventory.sessions, found.protocol)
    own = _own_source(inventory, found)
    installed = _installed(found, kernel.get(found.prefix, ()))
    return Route(
        node=inventory.node,
        prefix=str(found.prefix),
        source=own or ("learned" if names or found.learned_from else "static"),
        protocol=found.protocol,
        best=found.best,
        installed=None if own else bool(installed),
        next_hops=tuple(_next_hop(each) for each in installed or found.next_hops),
        peer=names.peer if names else None,
        as_path=found.as_path,
        communities=found.communities,
        large_communities=found.large_communities,
        local_pref=found.local_pref,
        med=found.med,
        origin_node=inventory.node if own else _origin(names.peer if names else "", found, nodes),
    )


def _own_source(inventory: Inventory, found: RouteState) -> RouteSource | None:
    sources = inventory.originated.get(found.protocol, {})
    return cast("RouteSource | None", sources.get(str(found.prefix)))


def _origin(peer: str, found: RouteState, nodes: Mapping[str, str]) -> str | None:
    """The node that brought the prefix in: the originator where it was reflected (RFC 4456), else the peer."""
    if found.originator:
        return nodes.get(found.originator)
    return peer if peer in nodes.values() else None


def _installed(found: RouteState, kernel: Sequence[state.NextHop]) -> tuple[state.NextHop, ...]:
    """The kernel's next hops that are this route's, if it has all of them."""
    wanted = {_key(each) for each in found.next_hops}
    matching = tuple(each for each in kernel if _key(each) in wanted)
    return matching if len({_key(each) for each in matching}) == len(wanted) else ()


def _key(hop: state.NextHop) -> tuple[Address | None, str]:
    return hop.address, hop.interface


def _next_hop(hop: state.NextHop) -> NextHop:
    return NextHop(
        address=str(hop.address) if hop.address else None, interface=hop.interface or None, weight=hop.weight
    )
