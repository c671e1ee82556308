"""Choosing route reflectors automatically: the same answer on every node, spread over zones, changing little.

Nodes and zones are ranked by a hash of their name. A node that joins or leaves then moves at most one reflector of
its zone, and no node has to remember what was chosen before.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable

from birdctl.routing.compile.nodes import NodeFacts

GRACE = 60.0
"""Seconds a reflector may be not Ready before another node takes its place."""


def choose(nodes: Collection[NodeFacts], count: int, spread_by: str, now: float) -> tuple[frozenset[str], float | None]:
    """The names of up to `count` reflectors, and when a node now in its grace will lose it.

    Nodes that are not Ready for longer than GRACE, and nodes that lack a family others have, serve only when there
    are not enough others.
    """
    able = [node for node in nodes if node.addresses]
    most_families = max((len(node.addresses) for node in able), default=0)
    best = [node for node in able if not _is_gone(node, now) and len(node.addresses) == most_families]
    chosen = _spread(best, count, spread_by, ())
    rest = [node for node in able if node not in best]
    chosen += _spread(rest, count - len(chosen), spread_by, chosen)
    ends = [node.not_ready_since + GRACE for node in able if node.not_ready_since is not None]
    return frozenset(node.name for node in chosen), min((end for end in ends if end > now), default=None)


def _is_gone(node: NodeFacts, now: float) -> bool:
    return node.not_ready_since is not None and node.not_ready_since + GRACE <= now


def _spread(nodes: Iterable[NodeFacts], count: int, spread_by: str, chosen: Collection[NodeFacts]) -> list[NodeFacts]:
    """Up to `count` of `nodes`: always the next of the zone that has the fewest reflectors so far."""
    zones: dict[str, list[NodeFacts]] = {}
    for node in sorted(nodes, key=lambda node: _rank(node.name), reverse=True):
        zones.setdefault(node.labels.get(spread_by, ""), []).append(node)
    served = Counter(node.labels.get(spread_by, "") for node in chosen)
    picked: list[NodeFacts] = []
    while zones and len(picked) < count:
        zone = min(zones, key=lambda zone: (served[zone], _rank(zone)))
        picked.append(zones[zone].pop())
        served[zone] += 1
        if not zones[zone]:
            del zones[zone]
    return picked


def _rank(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
