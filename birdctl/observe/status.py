"""What the agent says about its node in the API server: annotations of the Node, and the BGPNodeState. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from birdctl.observe.bfd import bfd_sessions
from birdctl.observe.health import readyz
from birdctl.observe.state import Routing, State
from birdctl.routing.model import PeerType

_ALWAYS_CHANGING = frozenset({"uptimeSeconds", "sinceSeconds"})
_COUNTS = frozenset({"families"})

Condition = dict[str, Any]


def node_annotations(routing: Routing) -> dict[str, str]:
    """`birdctl.io/…` of the own Node."""
    sessions = routing.inventory.sessions.values()
    established = sum(each.state == "Established" for each in routing.sight.peers) if routing.sight else 0
    own = sorted(each.local_asn for each in sessions if each.type is not PeerType.EXTERNAL) or sorted(
        each.local_asn for each in sessions
    )
    found = {
        "birdctl.io/peer-asns": ",".join(map(str, sorted({each.remote_asn for each in sessions}))),
        "birdctl.io/bgp-state": f"{established}/{routing.configured}",
    }
    return {"birdctl.io/asn": str(own[0]), **found} if own else found


def node_state(state: State, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """`status` of the BGPNodeState as a merge patch (RFC 7396): None takes back what is no longer known.

    `before` is what it was, `now` the time (RFC 3339) of conditions that changed.
    """
    times = {each["type"]: each for each in before.get("conditions", ())}
    conditions = [
        _condition("Converged", state.converged, _why_not_converged(state), times, now),
        _condition("Healthy", state.healthy, readyz(state), times, now),
    ]
    return {
        **(_of_routing(state.routing) if state.routing else {}),
        "lastError": state.last_error,
        "conditions": conditions,
    }


def _of_routing(routing: Routing) -> dict[str, Any]:
    sight = routing.sight
    bird = sight and {
        "version": ".".join(map(str, sight.status.version)),
        "routerId": sight.status.router_id,
        "uptimeSeconds": int(sight.status.uptime),
        "configDigest": routing.running or "",
    }
    return {
        "peers": msgspec.to_builtins(sight.peers) if sight else [],
        "bfd": msgspec.to_builtins(bfd_sessions(routing.inventory, sight.bfd)) if sight else [],
        "established": node_annotations(routing)["birdctl.io/bgp-state"],
        "bird": bird,
    }


def _why_not_converged(state: State) -> str:
    if state.converged:
        return ""
    coming = "a change is on its way to the node" if state.synced else "the source is not read completely yet"
    return state.last_error or coming


def _condition(kind: str, holds: bool, message: str, before: Mapping[str, Condition], now: str) -> Condition:
    word = "True" if holds else "False"
    last = before.get(kind, {})
    since = last["lastTransitionTime"] if last.get("status") == word else now
    reason = kind if holds else f"Not{kind}"
    return {"type": kind, "status": word, "reason": reason, "message": message, "lastTransitionTime": since}


def essence(status: Any, *, counts: bool) -> Any:
    """`status` without what changes all the time, and without counts of prefixes unless asked."""
    left_out = _ALWAYS_CHANGING if counts else _ALWAYS_CHANGING | _COUNTS
    if isinstance(status, dict):
        return {key: essence(value, counts=counts) for key, value in status.items() if key not in left_out}
    if isinstance(status, list | tuple):
        return [essence(value, counts=counts) for value in status]
    return status
