"""Returns 0 as soon as it is so, 1 when it is not within the timeout.

The agent first takes in everything that was written to its source before the call.
converged: BIRD and the kernel are what the objects say. healthy: BIRD answers, enough sessions carry their routes, and
no policy or service is missing. established: every configured session is Established and has all its peer's routes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from birdctl import values
from birdctl.cli import places, show
from birdctl.cli.places import Place
from birdctl.errors import BirdctlError, InputError, NotConverged, Unavailable
from birdctl.observe.sessions import sessions
from birdctl.settings import Settings

CONDITIONS = ("converged", "healthy", "established")
_PAUSE = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="condition", choices=CONDITIONS, default="converged", help="default converged")
    parser.add_argument("--timeout", default="30s", metavar="DURATION", help="how long to wait at most (default 30s)")
    show.add_targets(parser)


def run(args: argparse.Namespace) -> int:
    deadline = time.monotonic() + _timeout(args.timeout)
    settings = Settings.load(args, os.environ)
    lab = args.lab
    found = places.of_lab(lab, settings.runtime_dir, only_ours=True) if lab else (places.local(settings),)

    def wait(place: Place) -> list[str]:
        return [until(place, args.condition, deadline)]

    _, failures = places.ask_all(places.named(found, args.nodes), wait)
    if failures:
        raise NotConverged(f"not {args.condition} within {args.timeout}: {'; '.join(failures)}")
    return 0


def _timeout(text: str) -> float:
    try:
        return values.parse_duration(text)
    except ValueError:
        raise InputError("--timeout", "", f"{text!r} is not {values.DURATION.expected}") from None


def until(place: Place, condition: str, deadline: float) -> str:
    """Blocks until the node is so. Raises what stands in the way when the deadline (monotonic) passes."""
    is_so = _established if condition == "established" else _said_by_the_agent(condition)
    synced = False
    while True:
        try:
            left = max(0.0, deadline - time.monotonic())
            status = _ask(place, "status" if synced else "sync", left)
            synced = True
            reason = is_so(place, status)
        except BirdctlError as error:
            reason = str(error)
        if not reason:
            return place.node
        if time.monotonic() >= deadline:
            raise Unavailable(reason)
        time.sleep(_PAUSE)


def _ask(place: Place, request: str, left: float) -> Mapping[str, Any]:
    from birdctl.reconcile import control  # noqa: PLC0415 - the help needs none of it

    return control.ask(place.runtime_dir, request, timeout=left)


def _said_by_the_agent(condition: str) -> Callable[[Place, Mapping[str, Any]], str]:
    def reason(_place: Place, status: Mapping[str, Any]) -> str:
        return "" if status[condition] else status.get("lastError") or f"the agent says it is not {condition}"

    return reason


def _established(place: Place, _status: Mapping[str, Any]) -> str:
    """The agent's own view lags by a second: BIRD is asked."""
    inventory = place.inventory()
    if not inventory.digest:
        return "nothing is configured yet"
    found = sessions(inventory, place.bird().sessions())
    waiting = [each.names.peer for each in found if each.state is None or not each.state.end_of_rib]
    return f"not Established: {', '.join(sorted(waiting))}" if waiting else ""
