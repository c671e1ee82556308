"""What one service became on this node: the part of a compilation that a change of the service costs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from birdctl.addresses import Address, Prefix
from birdctl.errors import InputError
from birdctl.services.model import HealthCheck, Owner, Port, Value, VirtualServer

MISSING = "is not there"


class Served(Value, frozen=True, kw_only=True, gc=False):
    """One address and port of a service.

    `server` has the port as its key, also where a firewall mark will stand for it. `held`: the address is to be on the
    VIP device. `inside_only`: it answers the cluster's own alone. `sources` are the only clients that may use it, None:
    everybody. `direct` are this node's pods that answer clients themselves, None without direct server return.
    """

    server: VirtualServer
    held: bool = False
    inside_only: bool = False
    sources: frozenset[Prefix] | None = None
    direct: frozenset[Address] | None = None

    @property
    def owner(self) -> Owner:
        assert self.server.owner
        return self.server.owner

    @property
    def answers(self) -> bool:
        """New connections find somebody."""
        return any(each.weight for each in self.server.real_servers)


class Omission(Value, frozen=True, kw_only=True, gc=False):
    """Something of a service that is left out though nothing is wrong with it, and the reason in a person's words."""

    what: str
    reason: str


class ServicePart(msgspec.Struct, frozen=True, kw_only=True):
    """`left_alone` says why nothing at all is done for the service, empty when something is.

    `hairpin` are its endpoints on this node that may reach themselves through it. `terminating` are the addresses of
    endpoints on their way out, with their pods' keys. `looks_at_nodes`: other nodes' addresses had a say in it. A port
    in `served` may still be another service's: then a problem of the compilation tells.
    """

    service: str
    left_alone: str = ""
    served: Mapping[Port, Served] = {}
    hairpin: frozenset[Port] = frozenset()
    health_checks: Mapping[int, HealthCheck] = {}
    terminating: Mapping[Address, str] = {}
    looks_at_nodes: bool = False
    omitted: tuple[Omission, ...] = ()
    problems: tuple[InputError, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Only slices speak of it."""
        return self.left_alone == MISSING

    @property
    def addresses(self) -> frozenset[Address]:
        """Those that clients use."""
        return frozenset(port.address for port in self.served)


def unchanged(before: ServicePart, after: ServicePart) -> ServicePart:
    """`after` with the values of `before` wherever they are equal; `before` itself when all are."""
    served = {port: _same(before.served.get(port), found) for port, found in after.served.items()}
    problems = after.problems
    if list(map(str, before.problems)) == list(map(str, problems)):
        problems = before.problems
    after = msgspec.structs.replace(after, served=served, problems=problems)
    return before if before == after else after


def _same(before: Served | None, after: Served) -> Served:
    if before is None or before == after:
        return before or after
    return msgspec.structs.replace(after, server=before.server) if before.server == after.server else after
