"""Writes what the agent says into the API server, from a thread of its own: a slow server never delays routing.

Written when something changed, a little later than that (the nodes of a cluster change together, so each waits a
different time), and not more often than every ten seconds; counts of prefixes alone are worth a write a minute, and
one at the next turn after something else changed: routes come a moment after their session.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from http import HTTPStatus
from typing import Any

import msgspec

from birdctl.cluster.apiclient import MERGE_PATCH, ApiClient, path_of
from birdctl.cluster.bgp import API_VERSION, BGPNodeState
from birdctl.cluster.objects import Node
from birdctl.errors import ApiRefused, BackendError
from birdctl.observe.problems import ProblemReporter
from birdctl.observe.state import Routing, State, time_of_day
from birdctl.observe.status import essence, node_annotations, node_state

log = logging.getLogger(__name__)

DELAY_SECONDS = (1.0, 2.0)
BETWEEN_SECONDS = 10.0
COUNTS_SECONDS = 60.0


class Publisher:
    """Takes states as they come (`offer`), writes the newest when it is time."""

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._node = node
        self._problems = ProblemReporter(client, node)
        self._news = threading.Event()
        self._state: State | None = None
        self._annotations: dict[str, str] = {}
        self._status: dict[str, Any] | None = None
        self._counts_at = 0.0
        self._error = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name="publisher", daemon=True).start()

    def offer(self, state: State) -> None:
        """Returns at once; called from the loop, every turn."""
        before, self._state = self._state, state
        if before is None or any(
            one is not other for one, other in zip(_telling(before), _telling(state), strict=True)
        ):
            self._news.set()

    def _run(self) -> None:
        while True:
            self._news.wait()
            time.sleep(random.uniform(*DELAY_SECONDS))  # noqa: S311 - spreads load, hides nothing
            self._news.clear()
            self._try_to_write()
            time.sleep(BETWEEN_SECONDS)

    def _try_to_write(self) -> None:
        assert self._state is not None
        try:
            if self._state.routing:
                self._write_annotations(self._state.routing)
            self._write_node_state(self._state)
            self._problems.report(self._state.problems)
            self._error = ""
        except Exception as error:  # a bug must not end the only thread that tells
            if str(error) != self._error:
                bug = not isinstance(error, BackendError)
                log.warning("the API server does not take this node's state: %s", error, exc_info=bug)
            self._error = str(error)
            self._news.set()

    def _write_annotations(self, routing: Routing) -> None:
        wanted = node_annotations(routing)
        if wanted != self._annotations:
            body = {"metadata": {"annotations": wanted}}
            self._client.request("PATCH", path_of(Node, self._node), body, MERGE_PATCH)
            self._annotations = wanted

    def _write_node_state(self, state: State) -> None:
        if self._status is None:
            self._status = self._read_or_create()
        status = node_state(state, self._status, time_of_day(time.time()))
        last = self._status

        def differs(*, counts: bool) -> bool:
            return bool(essence(status, counts=counts) != essence(last, counts=counts))

        changed = differs(counts=False)
        if not changed and (time.monotonic() < self._counts_at or not differs(counts=True)):
            return
        path = path_of(BGPNodeState, self._node, subresource="status")
        try:
            self._client.request("PATCH", path, {"status": status}, MERGE_PATCH)
        except ApiRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                self._status = None  # somebody deleted it: made again at the next try
            raise
        self._status = status
        self._counts_at = 0.0 if changed else time.monotonic() + COUNTS_SECONDS

    def _read_or_create(self) -> dict[str, Any]:
        """The `status` that is there; empty in a BGPNodeState that had to be made."""
        try:
            body = self._client.request("GET", path_of(BGPNodeState, self._node))
        except ApiRefused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            metadata = {"name": self._node, "ownerReferences": self._owner()}
            new = {"apiVersion": API_VERSION, "kind": "BGPNodeState", "metadata": metadata}
            body = self._client.request("POST", path_of(BGPNodeState), new)
        found: dict[str, Any] = msgspec.json.decode(body).get("status", {})
        return found

    def _owner(self) -> list[dict[str, Any]]:
        """The Node, whose end is its state's end; by a list, because an agent may list Nodes and not get them."""
        query = {"fieldSelector": f"metadata.name={self._node}"}
        items = msgspec.json.decode(self._client.request("GET", path_of(Node), query=query))["items"]
        return [
            {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": each["metadata"]["uid"]} for each in items
        ]


def _telling(state: State) -> list[object]:
    """What is worth a write when it changes; the same values as long as nothing does."""
    return [
        getattr(progress, name)
        for progress in state.domains.values()
        for name in ("error", "problems", "sight", "inventory", "running", "bird_error", "unprogrammed")
        if hasattr(progress, name)
    ]
