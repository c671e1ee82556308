"""The agent: one loop for each domain that is switched on, over one source, and what is known of all of them.

source ──> inbox of each domain that reads the kind ──> its loop, in a thread of its own
supervisor (`run`, the caller's thread): wakes after each turn of a loop, ends all loops when one ends
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from birdctl.cluster.source import Source
from birdctl.errors import BackendError, BirdctlError, Unavailable
from birdctl.observe.counters import Counters
from birdctl.observe.state import Observed, State, document
from birdctl.reconcile.inbox import Call, Inbox, Request
from birdctl.reconcile.loop import Loop
from birdctl.reconcile.plan import together
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.apiclient import ApiClient
    from birdctl.policies.counters import Counter
    from birdctl.reconcile.allocation import AllocationLoop
    from birdctl.reconcile.policies import PolicyLoop
    from birdctl.reconcile.routing import RoutingLoop
    from birdctl.reconcile.services import ServiceLoop

WAKE_SECONDS = 1.0
"""The longest time between two calls of `after_turn`."""


class Agent:
    """Runs from `run()` until `stop()`; what is on the node stays when it ends, however it ends.

    `inboxes` are those of the domains that are switched on, by name, which the source fills; `after_turn` is called in
    the thread of `run()`. `client` is the source's API server, if that is what it reads.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        inboxes: Mapping[str, Inbox],
        counters: Counters,
        after_turn: Callable[[State], None],
        *,
        client: ApiClient | None = None,
    ) -> None:
        self._node = settings.node
        self._source = source
        self._after_turn = after_turn
        self._inbox = Inbox()
        self._running = True
        self._bug: Exception | None = None
        self._routing: RoutingLoop | None = None
        self._policies: PolicyLoop | None = None
        self._services: ServiceLoop | None = None
        self._allocation: AllocationLoop | None = None
        if "routing" in inboxes:
            from birdctl.reconcile.routing import RoutingLoop  # noqa: PLC0415 - only a domain in use is paid for

            self._routing = RoutingLoop(settings, inboxes["routing"], counters, self._after_routing)
        if "policies" in inboxes:
            from birdctl.reconcile.policies import PolicyLoop  # noqa: PLC0415

            self._policies = PolicyLoop(settings, inboxes["policies"], counters, self._inbox.wake)
        if "services" in inboxes:
            self._services = self._service_loop(settings, inboxes, counters)
        if "loadbalancer" in inboxes and client:
            from birdctl.reconcile.allocation import AllocationLoop  # noqa: PLC0415

            self._allocation = AllocationLoop(
                settings,
                inboxes["loadbalancer"],
                counters,
                self._inbox.wake,
                client=client,
                refresh=source.refresh,
            )

    def _service_loop(self, settings: Settings, inboxes: Mapping[str, Inbox], counters: Counters) -> ServiceLoop:
        from birdctl.reconcile.services import ServiceLoop  # noqa: PLC0415

        routing = self._routing
        return ServiceLoop(
            settings,
            inboxes["services"],
            counters,
            self._inbox.wake,
            tell=inboxes["routing"].emit if routing else lambda _: None,
            announced=routing.announces if routing else lambda _: False,
        )

    def _after_routing(self) -> None:
        self._inbox.wake()
        if self._services:
            self._services.wake()  # what it holds for routing may fall when that has withdrawn it

    @property
    def _loops(self) -> list[Loop[Any]]:
        return [each for each in (*self._of_the_node, self._allocation) if each]

    @property
    def _of_the_node(self) -> list[Loop[Any]]:
        """Those that change this node."""
        return [each for each in (self._routing, self._policies, self._services) if each]

    @property
    def state(self) -> State:
        return State(
            node=self._node,
            source=self._source.kind,
            source_error=self._source.error,
            routing=self._routing.state if self._routing else None,
            policies=self._policies.state if self._policies else None,
            services=self._services.state if self._services else None,
            addresses=self._allocation.state if self._allocation else None,
        )

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._run, args=(loop,), name=loop.name, daemon=True) for loop in self._loops
        ]
        for thread in threads:
            thread.start()
        while self._running:
            select.select([self._inbox.fileno()], [], [], WAKE_SECONDS)
            for message in self._inbox.take():
                assert isinstance(message, Call)
                message.function()
            self._after_turn(self.state)
        for loop in self._loops:
            loop.stop()
        for thread in threads:
            thread.join()
        if self._bug:
            raise self._bug

    def _run(self, loop: Loop[Any]) -> None:
        try:
            loop.run()
        except Exception as bug:  # noqa: BLE001 - raised in the caller's thread
            self._bug = bug
        finally:
            self.stop()

    def stop(self) -> None:
        self.call(self._stop)

    def call(self, function: Callable[[], None]) -> None:
        """Has it called in the thread of `run()`. Also for signal handlers."""
        self._inbox.post(Call(function))

    def _stop(self) -> None:
        self._running = False

    def adopt(self, settings: Settings) -> None:
        """Goes on with other settings, everything compiled afresh."""
        for loop in self._loops:
            loop.adopt(settings)

    def observe(self) -> Observed:
        """Everything that is exported, as it is now."""
        return Observed(
            state=self.state,
            sight=self._routing.observe() if self._routing else None,
            policies=self.policy_counters(),
            services=self._services.traffic() if self._services else (),
        )

    def policy_counters(self) -> tuple[Counter, ...]:
        """What passed the rules of each policy since the agent began."""
        return self._policies.counters() if self._policies else ()

    def describe_service(self, service: str) -> Mapping[str, Any]:
        """What becomes of one on this node, as a ServiceObjects. Raises BirdctlError."""
        from birdctl.observe.service_objects import with_routing, without_routing  # noqa: PLC0415 - only who asks

        if self._services is None:
            raise BackendError(f"services are not proxied on {self._node}: --run-service-proxy is off")
        found, held_down = self._services.describe(service, self.state.problems)
        if self._routing:
            try:
                found = with_routing(found, self._routing.decisions(service), held_down)
            except BirdctlError as error:
                found = without_routing(found, error)
        answer: dict[str, Any] = msgspec.to_builtins(found)
        return answer

    def sync(self, timeout: float) -> Mapping[str, Any]:
        """The status once everything written to the source before the call is applied and read back, or when `timeout`
        seconds are over.
        """
        self._source.refresh()
        if self._services:
            self._ask("sync", timeout, [self._services])  # what they program, routing announces
        self._ask("sync", timeout, self._loops)
        return document(self.state)

    def plan(self, timeout: float) -> Mapping[str, Any]:
        """The plan of the moment in its forms, or why there is none."""
        if not self._of_the_node:
            return {"error": "this agent changes nothing on its node"}
        return together(self._ask("plan", timeout, self._of_the_node))

    def _ask(
        self, what: Literal["sync", "plan"], timeout: float, loops: Sequence[Loop[Any]]
    ) -> list[Mapping[str, Any]]:
        until = time.monotonic() + timeout
        requests = [Request(what, until) for _ in loops]
        for loop, request in zip(loops, requests, strict=True):
            loop.request(request)
        try:
            return [each.reply.get(timeout=max(0.0, until - time.monotonic()) + 1.0) for each in requests]
        except Empty:
            raise Unavailable("the agent is in the middle of a pass") from None
