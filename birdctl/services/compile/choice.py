"""Which endpoints of a port serve, here: by traffic policy, hints and KEP-1669."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from birdctl.services.compile.backends import Backend, Backends, State
from birdctl.services.compile.surroundings import Context
from birdctl.services.model import RealServer


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The real servers, those that drain with weight 0, and why others are none of them."""

    real_servers: tuple[RealServer, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def serves(self) -> bool:
        return any(server.weight for server in self.real_servers)


def on_this_node(found: Backends, context: Context) -> Choice:
    local = {place: backend for place, backend in found.items() if backend.node == context.node}
    reasons = _count(len(found) - len(local), "on other nodes: the traffic policy is Local")
    return _serving(local, context, reasons)


def anywhere(found: Backends, context: Context) -> Choice:
    meant = _meant_for(found, context)
    if meant is None:
        return _serving(found, context, ())
    near = {place: each for place, each in found.items() if each.state is not State.READY or meant(each)}
    return _serving(near, context, _count(len(found) - len(near), "meant for other nodes or zones"))


def _serving(found: Backends, context: Context, reasons: tuple[str, ...]) -> Choice:
    """The ready ones; without any, those that serve to their end. The others on their way out drain."""
    best = max((each.state for each in found.values()), default=State.NOT_READY)
    draining = context.options.ipvs_graceful_termination
    servers = []
    idle = 0
    for (_, port), backend in found.items():
        if backend.state is best and best >= State.SERVING_TO_ITS_END:
            servers.append(RealServer(address=backend.address, port=port))
        elif backend.state is State.NOT_READY:
            idle += 1
        elif draining:
            servers.append(RealServer(address=backend.address, port=port, weight=0))
    return Choice(real_servers=tuple(servers), reasons=(*reasons, *_count(idle, "not ready")))


def _meant_for(found: Backends, context: Context) -> Callable[[Backend], bool] | None:
    """Hints count if every ready endpoint has one and at least one is for here; nodes before zones."""
    ready = [each for each in found.values() if each.state is State.READY]
    if all(each.nodes for each in ready) and any(context.node in each.nodes for each in ready):
        return lambda each: context.node in each.nodes
    if all(each.zones for each in ready) and any(context.zone in each.zones for each in ready):
        return lambda each: context.zone in each.zones
    return None


def _count(number: int, what: str) -> tuple[str, ...]:
    return (f"{number} endpoint{'s' if number > 1 else ''} {what}",) if number else ()
