"""Where the service proxy is measured: a machine of its own, or a network namespace where this kernel has IPVS.

The API server is here, as it is on no node of a cluster; the machine's bridge is one with ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from birdctl.cluster.apiclient import ApiClient
from tests import machine
from tests.bench.apiserver import Api
from tests.bench.network import Network, hardware_address, ip
from tests.bench.objects import Document
from tests.bench.proc import cpu_seconds_of_tree
from tests.bench.proxied import CHURN, CHURN_RATE, READY, SETTLE_SECONDS, UPLINK, Changes, Place
from tests.bench.report import Samples
from tests.bench.service_objects import Size, contents
from tests.polling import eventually

_TIMEOUT = 150.0
_CABLE = "machine"
_HARDWARE = hardware_address(0xFFFE)


def measure(scratch: Path, measurement: str, size: Size, more: Iterable[Document] = ()) -> Samples:
    """What this measurement of `tests.bench.proxied` finds in a cluster of this size and `more`."""
    with _cluster(scratch, measurement, size, more) as place, _guest(place) as guest:
        return _found(guest)


def churn(scratch: Path, size: Size) -> Samples:
    """What changes of endpoints at a steady rate take of a processor, and of the agent's memory.

    The processor's time is that of the whole machine, on which there is nothing but the agent, as this kernel counts
    it: user-mode Linux counts its processes' in steps of 10 ms.
    """
    with _cluster(scratch, "churn", size) as place, _guest(place) as guest:
        eventually((place.folder / READY).exists, _TIMEOUT, pause=0.1)
        time.sleep(SETTLE_SECONDS)
        changes = Changes(ApiClient.connect(place.administrator), size)
        used, begun = cpu_seconds_of_tree(guest.pid), time.monotonic()
        for number in range(1, CHURN + 1):
            changes.change_any()
            time.sleep(max(0.0, begun + number / CHURN_RATE - time.monotonic()))
        took = time.monotonic() - begun
        time.sleep(SETTLE_SECONDS)
        used = cpu_seconds_of_tree(guest.pid) - used
        return {**_found(guest), "cpu seconds": [used], "seconds": [took]}


class _Guest(Protocol):
    """Runs one command. `pid` is above everything that it does."""

    @property
    def pid(self) -> int: ...

    def result(self, timeout: float) -> subprocess.CompletedProcess[str]: ...


class _Namespace:
    """A guest of this kernel."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{_CABLE}", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def result(self, timeout: float) -> subprocess.CompletedProcess[str]:
        output, errors = self._process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, output, errors)


@contextmanager
def _cluster(scratch: Path, measurement: str, size: Size, more: Iterable[Document] = ()) -> Iterator[Place]:
    with Network(), Api(scratch / "api") as api:
        api.store([*contents(size), *more])
        yield Place(measurement, size, scratch, api.kubeconfig, api.administrator)


@contextmanager
def _guest(place: Place) -> Iterator[_Guest]:
    command = [sys.executable, "-m", "tests.bench.proxied", *place.arguments]
    if machine.kernel_has_everything():
        ip([f"netns add {_CABLE}", f"link add {_CABLE} type veth peer name {UPLINK} netns {_CABLE}"])
        ip([f"link set {_CABLE} master br0 up"])
        yield _Namespace(command)
        ip([f"netns delete {_CABLE}"])
        return
    device = f"{UPLINK}:transport=tap,ifname={_CABLE},depth=128,gro=1,mac={_HARDWARE}"
    ip([f"tuntap add {_CABLE} mode tap vnet_hdr", f"link set {_CABLE} master br0 up"])
    try:
        with machine.Machine(command, devices=[device]) as guest:
            yield guest
    finally:
        ip([f"link delete {_CABLE}"])


def _found(guest: _Guest) -> Any:
    done = guest.result(_TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"failed on the node:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)
