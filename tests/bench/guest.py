"""Where the service proxy is measured: here where this kernel has IPVS, else in a machine of its own.

The API server is here in any case, as it is on no node of a cluster; the machine's bridge is one with ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests import machine
from tests.bench.apiserver import Api
from tests.bench.network import Network, hardware_address, ip
from tests.bench.objects import Document
from tests.bench.proxied import UPLINK, Place, measure_here
from tests.bench.report import Samples
from tests.bench.service_objects import Size, contents

_MACHINE = 0xFFFE
"""The index of its hardware address."""
_CABLE = "machine"


def measure(
    scratch: Path, measurement: str, size: Size, more: Iterable[Document] = (), *, timeout: float = 150.0
) -> Samples:
    """What this measurement of `tests.bench.proxied` finds in a cluster of this size and `more`, in so many seconds."""
    with Network() as network, Api(scratch / "api") as api:
        api.store([*contents(size), *more])
        place = Place(measurement, size, scratch, api.kubeconfig, api.administrator)
        if machine.kernel_has_everything():
            return measure_here(network, place)
        return _in_machine(place.arguments, timeout)


def _in_machine(arguments: list[str], timeout: float) -> Any:
    device = f"{UPLINK}:transport=tap,ifname={_CABLE},depth=128,gro=1,mac={hardware_address(_MACHINE)}"
    ip([f"tuntap add {_CABLE} mode tap vnet_hdr", f"link set {_CABLE} master br0 up"])
    try:
        command = [sys.executable, "-m", "tests.bench.proxied", *arguments]
        done = machine.run(command, timeout=timeout, devices=[device])
    finally:
        ip([f"link delete {_CABLE}"])
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed in the machine:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)
