"""From the agent; when none answers, what BIRD alone can say, and exit code 2."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from birdctl.cli import show
from birdctl.cli.age import age
from birdctl.cli.output import View
from birdctl.cli.places import Place
from birdctl.cli.states import NodeState, node_states
from birdctl.cli.tables import Column
from birdctl.cluster.bgp import API_VERSION
from birdctl.errors import Unavailable
from birdctl.reconcile import control
from birdctl.settings import Settings

Status = Mapping[str, Any]


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _tone(key: str) -> Any:
    return lambda status: "good" if status.get(key) else "bad"


def _last_sync(status: Status) -> str | None:
    moment = status.get("lastSync")
    return age(time.time() - datetime.fromisoformat(moment).timestamp()) if moment else None


def _error(status: Status) -> str | None:
    """Why the node is not as desired; else the first object that is not in force as it is written."""
    problems = status.get("problems", ())
    if status.get("lastError") or not problems:
        return status.get("lastError")
    return f"{problems[0]} (and {len(problems) - 1} more)" if problems[1:] else problems[0]


COLUMNS: tuple[Column[Status], ...] = (
    Column("NODE", lambda status: status["node"]),
    Column("CONVERGED", lambda status: _yes_no(status.get("converged")), tone=_tone("converged")),
    Column("HEALTHY", lambda status: _yes_no(status.get("healthy")), tone=_tone("healthy")),
    Column("BIRD", lambda status: status["bird"].get("version")),
    Column("UPTIME", lambda status: age(status["bird"].get("uptimeSeconds"))),
    Column("SOURCE", lambda status: status.get("source", {}).get("kind")),
    Column("SYNCED", _last_sync),
    Column("GENERATION", lambda status: status.get("generation"), wide=True),
    Column("ROUTER-ID", lambda status: status["bird"].get("routerId"), wide=True),
    Column("DIGEST", lambda status: status["bird"].get("configDigest"), wide=True),
    Column("ERROR", _error),
)


class StatusView(View[Status, Status]):
    """One node's answer stands alone, not in a list."""

    def document(self, items: Sequence[Status]) -> dict[str, Any]:
        return dict(items[0]) if len(items) == 1 else super().document(items)


VIEW = StatusView(
    kind="StatusList",
    what="status",
    columns=COLUMNS,
    name=lambda status: f"status/{status['node']}",
    steady=lambda status: (
        status.get("converged"),
        status.get("healthy"),
        _error(status),
        status.get("generation"),
    ),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    show.arguments(parser)


def run(args: argparse.Namespace) -> int:
    return show.run(
        args, VIEW, show.Reader(read, of_cluster, only_ours=True, shortfall=_shortfall, on=itemgetter("node"))
    )


def of_cluster(settings: Settings) -> list[Status]:
    """What every agent last wrote into the API server. Raises Unavailable, BackendError."""
    return [_of_state(state) for state in node_states(settings)]


def _shortfall(status: Status) -> str:
    return "" if "converged" in status else str(status["lastError"])


def read(place: Place) -> list[Status]:
    """The agent's word, or BIRD's. Raises Unavailable when neither answers."""
    try:
        return [control.ask(place.runtime_dir, "status")]
    except Unavailable as agent:
        try:
            return [_without_agent(place, str(agent))]
        except Unavailable as bird:
            raise Unavailable(f"{agent}; {bird}") from None


def _without_agent(place: Place, error: str) -> Status:
    status = place.bird().status()
    bird = {
        "version": ".".join(map(str, status.version)),
        "routerId": status.router_id,
        "uptimeSeconds": int(status.uptime),
        "configDigest": status.digest,
        "recovering": status.recovering,
    }
    known = {key: value for key, value in bird.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "Status", "node": place.node, "lastError": error, "bird": known}


def _of_state(state: NodeState) -> Status:
    conditions = {each.type: each.status == "True" for each in state.conditions}
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "node": state.node,
        "converged": conditions.get("Converged", False),
        "healthy": conditions.get("Healthy", False),
        **({"lastError": state.last_error} if state.last_error else {}),
        "bird": state.bird,
        "source": {"kind": "apiserver"},
    }
