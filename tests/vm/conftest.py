"""Tests of this folder need IPVS, dummy devices and tunnels: where the kernel lacks them, they run in a machine that
has them, and this pytest replays each report that the pytest inside makes.

One machine runs all chosen tests of the folder, from the first one's turn on. It ends with this pytest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.machine import Machine, kernel_has_everything

HERE = Path(__file__).parent
PATIENCE = 300
"""Seconds that one test may take inside, unless it says otherwise by its own mark."""
STUCK = 4 * PATIENCE
"""Seconds without a test's end after which the machine is given up."""


class Guest:
    """The pytest inside."""

    def __init__(self, config: pytest.Config, items: Iterable[pytest.Item]) -> None:
        options = (f"--rootdir={config.rootpath}", f"--tb={config.option.tbstyle}", f"--timeout={PATIENCE}")
        tests = [f"{config.rootpath}/{item.nodeid}" for item in items]
        self._machine = Machine([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *tests])
        self._config = config
        self._read = 0
        self._reports: dict[str, list[pytest.TestReport]] = defaultdict(list)
        self.close = self._machine.close

    def reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        """Of one test, when it has ended. A test that will never end has failed."""
        reports = self._reports[item.nodeid]
        deadline = time.monotonic() + STUCK
        while not reports or reports[-1].when != "teardown":
            over = self._over()
            if self._read_more():
                continue
            if over or time.monotonic() > deadline:
                return [_failed(item, over or f"nothing comes out of the machine\n{self._machine.tail()}")]
            time.sleep(0.05)
        return reports

    def _over(self) -> str:
        """Why no more reports will be written; empty while there may be some."""
        try:
            status = self._machine.status()
        except RuntimeError as error:
            return str(error)
        return "" if status is None else f"pytest ended inside with {status}\n{self._machine.tail()}"

    def _read_more(self) -> bool:
        """Takes what was written since it was last called, if anything."""
        path = self._machine.folder / "reports"
        if not path.exists():
            return False
        with path.open("rb") as file:
            file.seek(self._read)
            lines, ended, _ = file.read().rpartition(b"\n")
        for line in lines.splitlines():
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            if isinstance(report.longrepr, list):  # where a test was skipped, and why: a tuple before it became JSON
                report.longrepr = tuple(report.longrepr)
            self._reports[report.nodeid].append(report)
        self._read += len(lines) + len(ended)
        return bool(lines)


def _failed(item: pytest.Item, reason: str) -> pytest.TestReport:
    call = pytest.CallInfo.from_call(lambda: pytest.fail(reason, pytrace=False), when="call")
    return pytest.TestReport.from_item_and_call(item, call)


_GUEST = pytest.StashKey[Guest]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time is kept inside."""
    for item in filter(_goes_inside, items):
        item.add_marker(pytest.mark.timeout(0), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if not _goes_inside(item):
        return None
    if _GUEST not in item.config.stash:
        item.config.stash[_GUEST] = guest = Guest(item.config, filter(_goes_inside, item.session.items))
        item.config.add_cleanup(guest.close)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.config.stash[_GUEST].reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _goes_inside(item: pytest.Item) -> bool:
    return item.path.is_relative_to(HERE) and not kernel_has_everything()


class Recorder:
    """Writes the reports that are replayed, inside."""

    def __init__(self, config: pytest.Config, folder: str) -> None:
        self._config = config
        self._file = Path(folder, "reports").open("a")  # noqa: SIM115 - as long as pytest runs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        print(json.dumps(data), file=self._file, flush=True)
        os.fsync(self._file.fileno())

    def pytest_unconfigure(self) -> None:
        self._file.close()


def pytest_configure(config: pytest.Config) -> None:
    if folder := os.environ.get("MACHINE"):
        config.pluginmanager.register(Recorder(config, folder))
