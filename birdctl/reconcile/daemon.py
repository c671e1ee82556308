"""The agent's process: signals, settings that change, the control socket, HTTP and the threads around the loop.

What the first commit does not need starts after it.
"""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from birdctl.errors import InputError
from birdctl.observe.counters import Counters
from birdctl.reconcile.agent import Agent
from birdctl.reconcile.control import ControlServer
from birdctl.reconcile.sources import open_source
from birdctl.reconcile.state import State, document
from birdctl.settings import Settings

log = logging.getLogger(__name__)

Loader = Callable[[], Settings]
"""Reads the settings afresh."""


def run(settings: Settings, load: Loader) -> None:
    """Runs the agent until a signal ends it. `load` reads the settings afresh. Raises BirdctlError when it cannot start."""
    daemon = _Daemon(settings, load)
    daemon.run()


class _Daemon:
    def __init__(self, settings: Settings, load: Loader) -> None:
        self._settings = settings
        self._load = load
        self._counters = Counters()
        self._source = open_source(settings)
        self._agent = Agent(settings, self._source, self._counters)
        self._control = ControlServer(
            settings.runtime_dir,
            {"status": self._status, "sync": self._sync, "plan": self._plan},
        )

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._agent.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._reload())
        self._source.start(self._agent.emit)
        self._control.start()
        try:
            self._agent.run()
        finally:
            self._control.stop()

    def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return document(self._agent.state)

    def _sync(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._agent.sync(float(request.get("timeout", 30.0)))

    def _plan(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._agent.plan(float(request.get("timeout", 30.0)))

    def _reload(self) -> None:
        try:
            newer = self._load()
        except InputError as error:
            log.error("%s; the settings stay as they are", error)
            return
        self._settings, waiting = self._settings.adopt(newer)
        for flag in waiting:
            log.warning("%s has changed: it takes effect when the agent restarts", flag)
        self._agent.adopt(self._settings)
