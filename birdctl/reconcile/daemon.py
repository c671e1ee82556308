"""The agent's process: signals, settings that change, the control socket, HTTP and the threads around the loop.

What the first commit does not need starts after it.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdctl.errors import BackendError, InputError
from birdctl.observe.counters import Counters
from birdctl.reconcile.control import ControlServer, Query
from birdctl.reconcile.sources import domains, open_inboxes, open_source
from birdctl.settings import Settings

if TYPE_CHECKING:
    from birdctl.cluster.events import Event
    from birdctl.observe.publisher import Publisher
    from birdctl.observe.state import State

log = logging.getLogger(__name__)

Loader = Callable[[], Settings]
"""Reads the settings afresh."""

SETTLING_SECONDS = 2.0
"""Everything but routing starts when the node is ready, or this late: probes must be answered."""


def run(settings: Settings, load: Loader) -> None:
    """Runs the agent until SIGTERM or SIGINT; `load` reads the settings afresh.

    Raises InputError for settings that make no agent, BackendError without its socket.
    """
    if not domains(settings):
        others = "--run-firewall, --run-service-proxy and --run-loadbalancer are off as well"
        raise InputError("--run-router", "", f"false leaves the agent nothing to do: {others}")
    if settings.run_loadbalancer and settings.manifests:
        raise InputError("--run-loadbalancer", "", "writes addresses to an API server, and --manifests has none")
    gc.disable()  # until it has started there is no garbage
    _Daemon(settings, load).run()


class _Daemon:
    """`_agent` is made last: its imports take as long as a source's first answer."""

    def __init__(self, settings: Settings, load: Loader) -> None:
        self._settings = settings
        self._load = load
        self._files = _signature(settings)
        self._started = time.monotonic()
        self._frozen = False
        self._settled = False
        self._counters = Counters()
        inboxes = open_inboxes(settings)
        self._publisher: Publisher | None = None
        source, self._client = open_source(settings)

        def emit(event: Event) -> None:
            for inbox in inboxes.values():
                inbox.emit(event)

        source.start(emit)
        from birdctl.reconcile.agent import Agent  # noqa: PLC0415

        self._agent = Agent(settings, source, inboxes, self._counters, self._after_turn, client=self._client)
        handlers = {
            "status": self._status,
            "sync": self._sync,
            "plan": self._plan,
            "policies": self._policies,
            "services": self._services,
            "service": self._service,
        }
        self._control = ControlServer(settings.runtime_dir, handlers)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._agent.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._agent.call(self._reload))
        self._control.start()
        try:
            self._agent.run()
        finally:
            self._control.stop()
        log.info("stopped; the node goes on with what it has")

    # In the main thread.

    def _after_turn(self, state: State) -> None:
        if _signature(self._settings) != self._files:
            self._reload()
        if not self._frozen and state.last_sync:
            self._frozen = True
            gc.freeze()  # what the first pass made stays: never look at it again
        if not self._settled and (state.ready or time.monotonic() - self._started > SETTLING_SECONDS):
            self._settled = True
            gc.enable()
            threading.Thread(target=self._settle, name="start", daemon=True).start()
        if self._publisher:
            self._publisher.offer(state)

    def _reload(self) -> None:
        self._files = _signature(self._settings)
        try:
            newer = self._load()
        except InputError as error:
            log.error("%s; the settings stay as they are", error)  # noqa: TRY400 - the message says it all
            return
        self._settings, waiting = self._settings.adopt(newer)
        for flag in waiting:
            log.warning("%s has changed: it takes effect when the agent restarts", flag)
        log.info("settings read again")
        logging.getLogger().setLevel(self._settings.log_level.upper())
        self._agent.adopt(self._settings)

    # In threads of their own.

    def _status(self, _: Query) -> Mapping[str, Any]:
        from birdctl.observe.state import document  # noqa: PLC0415 - loaded with the agent

        return document(self._agent.state)

    def _sync(self, query: Query) -> Mapping[str, Any]:
        return self._agent.sync(query.timeout)

    def _plan(self, query: Query) -> Mapping[str, Any]:
        return self._agent.plan(query.timeout)

    def _policies(self, _: Query) -> Mapping[str, Any]:
        from birdctl.observe.policies import reply  # noqa: PLC0415 - only who asks pays for it

        return reply(self._agent.state, self._agent.policy_counters())

    def _services(self, _: Query) -> Mapping[str, Any]:
        from birdctl.observe.services import reply  # noqa: PLC0415 - only who asks pays for it

        return reply(self._agent.state)

    def _service(self, query: Query) -> Mapping[str, Any]:
        return self._agent.describe_service(query.name)

    def _settle(self) -> None:
        self._serve_http()
        if self._client:
            from birdctl.observe.publisher import Publisher  # noqa: PLC0415 - only with an API server

            publisher = Publisher(self._client, self._settings.node)
            publisher.start()
            self._publisher = publisher

    def _serve_http(self) -> None:
        from birdctl.observe import health  # noqa: PLC0415
        from birdctl.observe.http import Answer, probe, serve  # noqa: PLC0415 - the first commit does not wait for it

        def metrics() -> Answer:
            return Answer(self._metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")

        def verdict(check: Callable[[State], str]) -> Callable[[], str]:
            return lambda: check(self._agent.state)

        probes = {f"/{name}": probe(verdict(check)) for name, check in health.CHECKS.items()}
        for address, port, pages in (
            (self._settings.health_addr, self._settings.health_port, probes),
            (self._settings.metrics_addr, self._settings.metrics_port, {"/metrics": metrics}),
        ):
            try:
                if port:
                    serve(address, port, pages)
            except BackendError as error:
                log.error("%s", error)  # noqa: TRY400 - the agent works without

    def _metrics(self) -> bytes:
        from birdctl.observe.metrics import Metrics  # noqa: PLC0415 - only who is scraped pays for it

        return Metrics(self._agent.observe, self._counters).text()


def _signature(settings: Settings) -> tuple[object, ...]:
    """Changes with the files that hold settings, symlink swaps included."""
    return tuple(_stat(path) for path in (settings.config, settings.peer_router_passwords_file))


def _stat(path: Path | None) -> object:
    try:
        found = os.stat(path) if path else None  # noqa: PTH116 - follows links, costs 2 µs
    except OSError:
        return "gone"
    return found and (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
