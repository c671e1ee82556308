"""Settings of the kernel (sysctl(8)): which are not as wanted, set and given back.

They are those of the network namespace that the thread is in. Where the agent may not write one, it goes on as well as
it can. What they were before is kept in a file, for `birdctl cleanup`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from birdctl.addresses import Family
from birdctl.errors import BackendError

_MOUNTED = Path("/host/proc/sys")
"""Where a container, whose own is read-only, has the network's part of it: manifests/service-proxy."""
ROOT = _MOUNTED if _MOUNTED.joinpath("net").exists() else Path("/proc/sys")
_BRIDGED = {Family.IPV4: "net.bridge.bridge-nf-call-iptables", Family.IPV6: "net.bridge.bridge-nf-call-ip6tables"}
_RECORDING = threading.Lock()


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


def bridged(family: Family, otherwise: str) -> Sysctl:
    """What decides whether packets between two ports of a bridge meet iptables."""
    return Sysctl(name=_BRIDGED[family], wanted="1", module="br_netfilter", otherwise=otherwise)


def record_in(runtime_dir: Path) -> Path:
    """The file of changed settings."""
    return runtime_dir / "sysctls.json"


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
    with _RECORDING:
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


def is_there(sysctl: Sysctl) -> bool:
    """Whether the kernel has it now."""
    return _path(sysctl.name).exists()


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
