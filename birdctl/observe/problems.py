"""What is wrong with objects, on the objects: the condition `Accepted` of birdctl's own kinds, an Event for every kind.

All agents of a cluster see the same objects, so each looks before it writes: who comes first says it for all. An agent
takes back only what it said itself (its node's name begins the message); Events have a name made from their text.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from birdctl.cluster.apiclient import MERGE_PATCH, ApiClient, path_of
from birdctl.cluster.bgp import API_VERSION
from birdctl.cluster.decode import KINDS
from birdctl.cluster.objects import Object
from birdctl.errors import ApiRefused, InputError, NotProgrammed
from birdctl.observe.state import time_of_day

CONDITION = "Accepted"


@dataclass(frozen=True, slots=True)
class Reference:
    """An object of the API server, by what an error says of it."""

    type: type[Object]
    namespace: str
    name: str


def reference(problem: InputError) -> Reference | None:
    """The object at fault; None when it is a setting."""
    kind, _, key = problem.origin.rpartition(" ")
    type_ = KINDS.get(kind.rpartition(" ")[2])
    namespace, _, name = key.rpartition("/")
    return Reference(type_, namespace, name) if type_ and name else None


class ProblemReporter:
    """Reports as one node. Not for several threads."""

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._node = node
        self._reported: dict[Reference, str] | None = None

    def report(self, problems: Collection[InputError]) -> None:
        """Says what is new, and takes back what is gone. Raises Unavailable, ApiRefused; then call it again."""
        found: dict[Reference, list[InputError]] = {}
        for problem in problems:
            if at := reference(problem):
                found.setdefault(at, []).append(problem)
        texts = {at: "; ".join(sorted(map(_text, each))) for at, each in found.items()}
        if self._reported is None:
            self._reported = self._said_before()
        for at in texts.keys() | self._reported.keys():
            text = texts.get(at)
            if text != self._reported.get(at):
                self._say(at, text, _reason(found.get(at, ())))
                self._reported.pop(at, None)
                self._reported |= {at: text} if text else {}

    def _said_before(self) -> dict[Reference, str]:
        """What this node said before its agent restarted."""
        found = {}
        for type_ in (each for each in KINDS.values() if each.api_version == API_VERSION):
            for item in self._list(type_, "", {}):
                said = _condition(item).get("message", "")
                if said.startswith(f"{self._node}: "):
                    found[Reference(type_, "", item["metadata"]["name"])] = said.removeprefix(f"{self._node}: ")
        return found

    def _say(self, at: Reference, text: str | None, reason: str) -> None:
        for item in self._list(at.type, at.namespace, {"fieldSelector": f"metadata.name={at.name}"}):
            if at.type.api_version == API_VERSION:
                self._set_condition(at, item, text)
            if text is not None:
                self._create_event(at, item, text, reason)

    def _list(self, type_: type[Object], namespace: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """The objects as they are; an agent may list but not get."""
        body = self._client.request("GET", path_of(type_, namespace=namespace), query=query)
        items: list[dict[str, Any]] = msgspec.json.decode(body).get("items") or []
        return items

    def _set_condition(self, at: Reference, item: dict[str, Any], text: str | None) -> None:
        before = _condition(item)
        generation = item["metadata"].get("generation", 0)
        mine = before.get("message", "").startswith(f"{self._node}: ")
        if not mine and before.get("status") == "False" and before.get("observedGeneration") == generation:
            return  # another node has said so
        condition = {
            "type": CONDITION,
            "status": "True" if text is None else "False",
            "reason": "Accepted" if text is None else "Invalid",
            "message": "" if text is None else f"{self._node}: {text}",
            "observedGeneration": generation,
            "lastTransitionTime": time_of_day(time.time()),
        }
        path = path_of(at.type, at.name, subresource="status")
        self._client.request("PATCH", path, {"status": {"conditions": [condition]}}, MERGE_PATCH)

    def _create_event(self, at: Reference, item: dict[str, Any], text: str, reason: str) -> None:
        metadata, now = item["metadata"], time_of_day(time.time())
        digest = hashlib.sha256(f"{metadata.get('uid')} {text}".encode()).hexdigest()[:16]
        namespace = at.namespace or "default"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{at.name}.{digest}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": at.type.api_version,
                "kind": at.type.__name__,
                "namespace": at.namespace,
                "name": at.name,
                "uid": metadata.get("uid"),
                "resourceVersion": metadata.get("resourceVersion"),
            },
            "type": "Warning",
            "reason": reason,
            "message": text,
            "source": {"component": "birdctl", "host": self._node},
            "reportingComponent": "birdctl.io/agent",
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._client.request("POST", f"/api/v1/namespaces/{namespace}/events", event)
        except ApiRefused as error:
            if error.status != HTTPStatus.CONFLICT:  # another node has said so
                raise


def _text(problem: InputError) -> str:
    return f"{problem.field}: {problem.problem}" if problem.field else problem.problem


def _reason(problems: Collection[InputError]) -> str:
    """Of an Event: the object is wrong, or else the node that cannot do what it says."""
    return "NotProgrammed" if all(isinstance(each, NotProgrammed) for each in problems) else "Invalid"


def _condition(item: dict[str, Any]) -> dict[str, Any]:
    """The object's condition `Accepted`, empty without one. birdctl sets no other."""
    conditions: list[dict[str, Any]] = item.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == CONDITION), {})
