"""Everything that can be set: one frozen value from flags, environment, a YAML file and defaults, in that order.

The fields of `Settings` are the whole table, one part of it in each module: name, type, default, group, help, and
whether a change of the file takes effect without a restart (`live`). A field `cluster_asn` is the flag `--cluster-asn`,
the variable `BIRDCTL_CLUSTER_ASN` and the key `cluster-asn` of the file. Names and meanings are kube-router's wherever
the thing is the same.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from birdctl.errors import InputError
from birdctl.secret import Secret
from birdctl.settings.agent import AgentSettings
from birdctl.settings.entry import Setting, specified
from birdctl.settings.policies import PolicySettings
from birdctl.settings.reading import from_environment, from_file, from_flags, parse
from birdctl.settings.routing import RoutingSettings
from birdctl.settings.services import ServiceSettings

if TYPE_CHECKING:
    from birdctl.allocation.options import AllocationOptions
    from birdctl.policies.options import PolicyOptions
    from birdctl.routing.options import RoutingOptions
    from birdctl.services.options import ServiceOptions


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings, PolicySettings, RoutingSettings, AgentSettings):
    """The settings of one process, the last base's fields first. `load` is the way to make one; the constructor serves
    tests.
    """

    @classmethod
    def load(cls, flags: object, environment: Mapping[str, str]) -> Self:
        """The settings in force; `flags` is an argparse namespace, absent attributes are not given.

        Raises InputError naming the flag, the variable or the file's key at fault.
        """
        given = {**from_environment(table(), environment), **from_flags(table(), flags)}
        if "config" in given:
            given = {**from_file(table(), given["config"]), **given}
        return cls(**_complete(given))

    def adopt(self, newer: Self) -> tuple[Self, tuple[str, ...]]:
        """These settings with the live ones of `newer`, and the flags whose change waits for a restart."""
        changed = [entry for entry in table() if getattr(self, entry.field) != getattr(newer, entry.field)]
        live = {entry.field: getattr(newer, entry.field) for entry in changed if entry.live}
        return dataclasses.replace(self, **live), tuple(entry.flag for entry in changed if not entry.live)

    def routing(self) -> RoutingOptions:
        """What the routing compiler needs of these settings."""
        from birdctl.routing.options import RoutingOptions  # noqa: PLC0415 - only who compiles pays for it

        return RoutingOptions(**self._of(RoutingOptions))

    def policies(self) -> PolicyOptions:
        """What the policy compiler needs of these settings."""
        from birdctl.policies.options import PolicyOptions  # noqa: PLC0415 - only who compiles pays for it

        return PolicyOptions(**self._of(PolicyOptions))

    def services(self) -> ServiceOptions:
        """What the service compiler needs of these settings."""
        from birdctl.services.model import Scheduler  # noqa: PLC0415 - only who compiles pays for it
        from birdctl.services.options import ServiceOptions  # noqa: PLC0415

        return ServiceOptions(**{**self._of(ServiceOptions), "ipvs_scheduler": Scheduler(self.ipvs_scheduler)})

    def allocation(self) -> AllocationOptions:
        """What the allocator of load balancer addresses needs of these settings."""
        from birdctl.allocation.options import AllocationOptions  # noqa: PLC0415 - only who allocates pays for it

        return AllocationOptions(**self._of(AllocationOptions))

    def _of(self, options: type[Any]) -> dict[str, Any]:
        """The settings that have the names of an options' fields."""
        names = options.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        return {name: getattr(self, name) for name in names}


@cache
def table() -> tuple[Setting, ...]:
    """Every setting, in the order of declaration."""
    return tuple(specified(field) for field in dataclasses.fields(Settings))


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """With the node's name from the host, and the passwords from their file."""
    if not given.get("node"):
        given["node"] = socket.gethostname().lower()
    if given.get("peer_router_passwords_file") and not given.get("peer_router_passwords"):
        given["peer_router_passwords"] = _passwords(given["peer_router_passwords_file"])
    return given


def _passwords(path: Path) -> tuple[Secret | None, ...]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise InputError("--peer-router-passwords-file", "", f"{path} cannot be read as text") from None
    entry = next(entry for entry in table() if entry.field == "peer_router_passwords")
    passwords: tuple[Secret | None, ...] = parse(entry, text, str(path))
    return passwords
