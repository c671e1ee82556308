"""The kernel's settings (sysctl(8)) that proxying services depends on: one table, which the agent sets and `birdctl
doctor` explains.

They are those of the network namespace that the thread is in. Where the agent may not write one, services go on as
well as they can. What they were before is kept in a file, for `birdctl cleanup`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from birdctl.addresses import family
from birdctl.errors import BackendError
from birdctl.services.model import Mark, Scheduler, ServiceState
from birdctl.services.rtnetlink import RouteNetlink

_MOUNTED = Path("/host/proc/sys")
"""Where a container, whose own is read-only, has the network's part of it: manifests/service-proxy."""
ROOT = _MOUNTED if _MOUNTED.joinpath("net").exists() else Path("/proc/sys")
_REUSE_IS_FAST = (5, 9)
"""From this Linux on, a connection from a port that was just used need not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """A setting. `otherwise`: what goes wrong with another value than `wanted`.

    `module` brings the setting, where the kernel has it as a module. `unless_none`: it matters only where one of these
    settings, of any interface for "*", has this value.
    """

    name: str
    wanted: str
    otherwise: str
    module: str = ""
    unless_none: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A setting that is not as wanted. `value` is None where the kernel does not have it."""

    sysctl: Sysctl
    value: str | None

    @property
    def found(self) -> str:
        return f"{self.sysctl.name} is {self.value or 'absent'}: {self.sysctl.otherwise}"

    @property
    def fix(self) -> str:
        load = f"modprobe {self.sysctl.module}; " if self.value is None and self.sysctl.module else ""
        return f"{load}sysctl -w {self.sysctl.name}={self.sysctl.wanted}"


class _Changed(msgspec.Struct, frozen=True, kw_only=True):
    before: str
    set_to: str


def record_in(runtime_dir: Path) -> Path:
    """The file of changed settings."""
    return runtime_dir / "sysctls.json"


_IPVS = (
    Sysctl(
        name="net.ipv4.vs.conntrack",
        wanted="1",
        module="ip_vs",
        otherwise="answers to masqueraded clients are lost, and policies do not know the replies of services",
    ),
    Sysctl(
        name="net.ipv4.vs.expire_nodest_conn",
        wanted="1",
        module="ip_vs",
        otherwise="connections to an endpoint that is gone hang until they time out",
    ),
    Sysctl(
        name="net.ipv4.vs.expire_quiescent_template",
        wanted="1",
        module="ip_vs",
        otherwise="clients with session affinity keep coming to an endpoint that is going",
    ),
)
_REUSE = Sysctl(
    name="net.ipv4.vs.conn_reuse_mode",
    wanted="1",
    module="ip_vs",
    otherwise="a client that uses a port again gets the endpoint that it had, even one that is going",
)
_REUSE_BEFORE = Sysctl(
    name="net.ipv4.vs.conn_reuse_mode",
    wanted="0",
    module="ip_vs",
    otherwise="a client that uses a port again waits a second",
)
_SLOPPY_TCP = Sysctl(
    name="net.ipv4.vs.sloppy_tcp",
    wanted="1",
    module="ip_vs",
    otherwise="no connection of direct server return survives that the network moves it to another node",
)
_IPV4 = (
    Sysctl(
        name="net.ipv4.conf.all.arp_ignore",
        wanted="1",
        otherwise="this node answers ARP for the VIPs of all services on every link",
    ),
    Sysctl(
        name="net.ipv4.conf.all.arp_announce",
        wanted="2",
        otherwise="this node tells its neighbours by ARP that VIPs are its addresses",
    ),
    Sysctl(
        name="net.ipv4.conf.all.rp_filter",
        wanted="2",
        otherwise="packets that take another way than the answers to them are dropped",
        unless_none=("net.ipv4.conf.*.rp_filter", "1"),
    ),
)
_ON_A_BRIDGE = "a pod does not understand answers from a pod of a service that is on the same bridge"
_BRIDGE = Sysctl(name="net.bridge.bridge-nf-call-iptables", wanted="1", module="br_netfilter", otherwise=_ON_A_BRIDGE)
_BRIDGE6 = Sysctl(name="net.bridge.bridge-nf-call-ip6tables", wanted="1", module="br_netfilter", otherwise=_ON_A_BRIDGE)


def needed(*, ipv4: bool, ipv6: bool, bridged: bool, sloppy: bool, kernel: tuple[int, int]) -> tuple[Sysctl, ...]:
    """`bridged`: there are pods on a bridge. `sloppy`: see `goes_on`. `kernel`: the version that runs, as (6, 1)."""
    reuse = _REUSE if kernel >= _REUSE_IS_FAST else _REUSE_BEFORE
    return (
        *_IPVS,
        reuse,
        *((_SLOPPY_TCP,) if sloppy else ()),
        *(_IPV4 if ipv4 else ()),
        *((_BRIDGE,) if ipv4 and bridged else ()),
        *((_BRIDGE6,) if ipv6 and bridged else ()),
    )


def goes_on(state: ServiceState) -> bool:
    """Whether any node could go on with a connection that the network moves to it: its packets carry everything, and
    every node finds the same endpoint.
    """
    marks = (Mark(mark=each.mark, family=family(each.port.address)) for each in state.direct_returns)
    return any(server.scheduler is Scheduler.MH for mark in marks if (server := state.virtual_servers.get(mark)))


def needed_here(*, ipv4: bool = True, ipv6: bool = True, sloppy: bool = False) -> tuple[Sysctl, ...]:
    """On this node, by its kernel and its bridges."""
    major, minor, *_ = re.findall(r"\d+", os.uname().release)
    with RouteNetlink("bridges") as kernel:
        bridged = bool(kernel.bridges())
    return needed(ipv4=ipv4, ipv6=ipv6, bridged=bridged, sloppy=sloppy, kernel=(int(major), int(minor)))


def apply(wanted: Collection[Sysctl], record: Path | None = None) -> tuple[Deviation, ...]:
    """Sets them, and remembers in the file what `restore` needs. Those that are still not as wanted."""
    for each in deviations(wanted):
        if each.value is not None:
            with suppress(OSError):
                if record:
                    _remember(record, each.sysctl, each.value)
                _path(each.sysctl.name).write_text(each.sysctl.wanted)
    return deviations(wanted)


def restore(record: Path) -> tuple[str, ...]:
    """Gives those that still have the value that `apply` set the one from before, and forgets them. Their names.

    Raises BackendError where one cannot be written.
    """
    changed = {name: each for name, each in _remembered(record).items() if _value(_path(name)) == each.set_to}
    for name, each in changed.items():
        try:
            _path(name).write_text(each.before)
        except OSError as error:
            raise BackendError(f"{name} cannot be set to {each.before} again: {error.strerror}") from None
    record.unlink(missing_ok=True)
    return tuple(changed)


def deviations(wanted: Collection[Sysctl]) -> tuple[Deviation, ...]:
    """Those that are not as wanted; changes nothing."""
    read = ((each, _value(_path(each.name))) for each in wanted)
    return tuple(Deviation(sysctl=each, value=value) for each, value in read if value != each.wanted and _matters(each))


def _remember(record: Path, sysctl: Sysctl, value: str) -> None:
    """The value from before the first change stays, whoever changed it since."""
    known = _remembered(record)
    before = known[sysctl.name].before if sysctl.name in known else value
    record.parent.mkdir(parents=True, exist_ok=True)
    new = record.with_suffix(".new")
    new.write_bytes(msgspec.json.encode({**known, sysctl.name: _Changed(before=before, set_to=sysctl.wanted)}))
    new.replace(record)


def _remembered(record: Path) -> dict[str, _Changed]:
    try:
        return msgspec.json.decode(record.read_bytes(), type=dict[str, _Changed])
    except (OSError, msgspec.DecodeError):
        return {}


def _matters(sysctl: Sysctl) -> bool:
    if sysctl.unless_none is None:
        return True
    pattern, value = sysctl.unless_none
    return any(_value(path) == value for path in ROOT.glob(pattern.replace(".", "/")))


def _path(name: str) -> Path:
    return ROOT.joinpath(*name.split("."))


def _value(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
