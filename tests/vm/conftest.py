"""Tests of this folder need IPVS, dummy devices and tunnels: where the kernel lacks them, they run in machines that
have them, and this pytest replays each report that the pytests inside make.

Two machines, each on a processor of its own, share the chosen files of the folder, from the first test's turn on. They
end with this pytest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.machine import Machine, kernel_has_everything

HERE = Path(__file__).parent
PATIENCE = 300
"""Seconds that one test may take inside, unless it says otherwise by its own mark."""
STUCK = 4 * PATIENCE
"""Seconds without a test's end after which the machine is given up."""

MACHINES = 2
SECONDS = {
    "test_scenario_anycast.py": 30,
    "test_service_agent.py": 8,
    "test_seen.py": 7,
    "test_going.py": 6,
    "test_endpoints.py": 4,
}
"""What a test of a file takes, where it is not about a second."""


class Guest:
    """The pytest inside one machine."""

    def __init__(self, config: pytest.Config, number: int, items: Iterable[pytest.Item]) -> None:
        options = (f"--rootdir={config.rootpath}", f"--tb={config.option.tbstyle}", f"--timeout={PATIENCE}")
        tests = [f"{config.rootpath}/{item.nodeid}" for item in items]
        command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *tests)
        self._machine = Machine(command, number=number)
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


_GUESTS = pytest.StashKey[dict[Path, Guest]]()
"""By the file whose tests they run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time is kept inside. Services come last: their agents stay until the end, and would slow the others down."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE / "services"))
    for item in filter(_goes_inside, items):
        item.add_marker(pytest.mark.timeout(0), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if not _goes_inside(item):
        return None
    if _GUESTS not in item.config.stash:
        item.config.stash[_GUESTS] = _start(item.config, list(filter(_goes_inside, item.session.items)))
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.config.stash[_GUESTS][item.path].reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _goes_inside(item: pytest.Item) -> bool:
    return item.path.is_relative_to(HERE) and not kernel_has_everything()


def _start(config: pytest.Config, items: Sequence[pytest.Item]) -> dict[Path, Guest]:
    guests: dict[Path, Guest] = {}
    for number, files in enumerate(_shares(items)):
        if files:
            guest = Guest(config, number, [item for item in items if item.path in files])
            config.add_cleanup(guest.close)
            guests |= dict.fromkeys(files, guest)
    return guests


def _shares(items: Iterable[pytest.Item]) -> list[list[Path]]:
    """The files, longest first, each to the machine that has least to do."""
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += SECONDS.get(item.path.name, 1)
    shares: list[list[Path]] = [[] for _ in range(MACHINES)]
    for path, _ in seconds.most_common():
        min(shares, key=lambda share: sum(seconds[each] for each in share)).append(path)
    return shares


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
