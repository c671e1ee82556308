"""The load balancer's loop: the agent that holds the Lease writes addresses into the status of Services.

No address goes to two Services, whoever thinks that it leads:

- what is about to be written is first recorded in the Lease, together with the version of each Service it was decided
  on, and stays there until the API server has answered; a write to a Service of another version is refused by it;
- who takes over reads the Services afresh and does what its predecessor recorded, so that a late write of that one
  finds another version;
- what was written counts as given until the watch shows it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec

from birdctl.addresses import Address, parse_address
from birdctl.allocation.allocate import Allocation, Assignment, Usage, allocate
from birdctl.cluster.apiclient import MERGE_PATCH, ApiClient, path_of
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.lease import LeaseClient
from birdctl.cluster.objects import Service
from birdctl.errors import ApiRefused, BackendError, InputError
from birdctl.observe.counters import Counters
from birdctl.observe.state import Addresses
from birdctl.reconcile.election import Election
from birdctl.reconcile.inbox import Inbox
from birdctl.reconcile.loop import Loop
from birdctl.settings import Settings

log = logging.getLogger(__name__)

LEASE = "birdctl-loadbalancer"
_AT_ONCE = 100
"""Services whose intents are recorded together; keeps the Lease small."""
_LARGEST = 1 << 53
_STALE = (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)


class Intent(msgspec.Struct, frozen=True):
    """Addresses for a Service of one version."""

    version: str
    addresses: tuple[str, ...]

    @property
    def given(self) -> tuple[Address, ...]:
        return tuple(map(parse_address, self.addresses))


class AllocationLoop(Loop[Addresses]):
    """Addresses stay in the Services when it ends. `refresh` is the source's."""

    name = "loadbalancer"

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        counters: Counters,
        after_turn: Callable[[], None],
        *,
        client: ApiClient,
        refresh: Callable[[], None],
    ) -> None:
        super().__init__(settings, inbox, counters.loadbalancer, Addresses(), after_turn)
        self._client = client
        self._refresh = refresh
        self._election = Election(LeaseClient(client, settings.namespace, LEASE), settings.node)
        self._term = 0
        self._intents: dict[str, Intent] = {}
        self._unanswered: set[str] = set()  # those of them that the Lease has to tell
        self._usage: dict[str, Mapping[str, Any]] = {}

    def _take_dirty(self) -> bool:
        return bool(self._cluster.take_dirty())

    def _forget(self) -> None:
        self._usage.clear()

    def _plan(self) -> Mapping[str, Any]:
        return {}

    @property
    def _resync_period(self) -> float:
        return self._settings.loadbalancer_sync_period

    @property
    def _look_at(self) -> float:
        return self._election.next_step

    def _look(self, *, now: bool) -> None:  # noqa: ARG002 - the Lease has its own time
        if time.monotonic() < self._election.next_step:
            return
        led = self._election.leads
        try:
            self._election.step()
        except BackendError as error:
            log.warning("the Lease %s cannot be had: %s", LEASE, error)
        if led != self._election.leads:
            log.info("%s", "leads the load balancer" if self._election.leads else "leads the load balancer no longer")
            self._due = 0.0
        self._note(holder=self._election.holder, leads=self._election.leads)

    def _close(self) -> None:
        self._election.resign()

    def _reconcile(self, started: float) -> None:
        if not self._election.leads:
            self._tell_problems(())
            self._succeeded(started, changed=False, dirty=False, usage={})
            return
        self._take_over()
        found = allocate(self._cluster, self._settings.allocation(), self._given())
        refused = self._write(found)
        self._tell_problems((*self._cluster.errors.values(), *found.problems, *refused))
        self._write_usage(found)
        lacking = sum(1 for each in found.assignments.values() if not each.is_written)
        self._succeeded(started, changed=lacking > 0, dirty=False, usage=found.usage)

    def _take_over(self) -> None:
        """At the begin of a term: sees all that predecessors wrote, and knows what they were about to write."""
        if self._term == self._election.terms:
            return
        term = self._election.terms
        self._refresh()
        self._take_in()
        self._intents = dict(_recorded(self._election.intents))
        self._unanswered = set(self._intents)
        self._term = term

    def _given(self) -> dict[str, tuple[Address, ...]]:
        """The intents that are not in the Services yet; a Service of another version has shown what became of its."""
        services = self._cluster.objects(Service)
        self._intents = {
            key: intent
            for key, intent in self._intents.items()
            if key in services and services[key].metadata.resource_version == intent.version
        }
        self._unanswered &= self._intents.keys()
        return {key: intent.given for key, intent in self._intents.items()}

    def _write(self, found: Allocation) -> list[InputError]:
        """What the API server refused."""
        lacking = iter([each for each in found.assignments.values() if not each.is_written])
        refused: list[InputError] = []
        while batch := list(islice(lacking, _AT_ONCE)):
            self._record(batch)
            for each in batch:
                try:
                    self._write_status(each)
                except ApiRefused as error:
                    refused.append(InputError(each.service.ref, "status.loadBalancer", str(error)))
                self._unanswered.remove(each.service.key)
        return refused

    def _record(self, batch: Iterable[Assignment]) -> None:
        """Raises BackendError when somebody else leads."""
        intents = {each.service.key: _intent(each) for each in batch}
        self._intents |= intents
        self._unanswered |= intents.keys()
        if not self._election.record({key: self._intents[key] for key in self._unanswered}):
            raise BackendError(f"{self._election.holder} leads the load balancer now")

    def _write_status(self, assignment: Assignment) -> None:
        """A Service that changed meanwhile, or went, is left for the pass that its change brings. Raises ApiRefused."""
        service = assignment.service
        ingress = [{"ip": str(address), "ipMode": "VIP"} for address in assignment.addresses]
        body = {
            "metadata": {"resourceVersion": service.metadata.resource_version},
            "status": {"loadBalancer": {"ingress": ingress}},
        }
        path = path_of(Service, service.name, namespace=service.namespace, subresource="status")
        try:
            self._client.request("PATCH", path, body, MERGE_PATCH)
        except ApiRefused as error:
            if error.status not in _STALE:
                raise
            return
        log.info("%s has %s", service.ref, " ".join(map(str, assignment.addresses)) or "no address")

    def _write_usage(self, found: Allocation) -> None:
        """Into the status of the pools that are objects."""
        for name in self._cluster.objects(AddressPool).keys() & found.usage.keys():
            usage = {of.label: _counts(each) for of, each in found.usage[name].items()}
            if self._usage.get(name) != usage:
                path = path_of(AddressPool, name, subresource="status")
                self._client.request("PATCH", path, {"status": {"ipv4": None, "ipv6": None, **usage}}, MERGE_PATCH)
                self._usage[name] = usage


def _counts(usage: Usage) -> dict[str, int]:
    """JSON's numbers are exact up to 2^53; an IPv6 pool may have more."""
    return {"total": min(usage.total, _LARGEST), "assigned": usage.assigned}


def _intent(assignment: Assignment) -> Intent:
    return Intent(assignment.service.metadata.resource_version, tuple(map(str, assignment.addresses)))


def _recorded(intents: Any) -> Iterator[tuple[str, Intent]]:
    """What a predecessor left; what is not understood was not written by one of us."""
    try:
        yield from msgspec.convert(intents or {}, dict[str, Intent]).items()
    except msgspec.ValidationError:
        log.warning("the annotation of the Lease %s is not understood", LEASE)
