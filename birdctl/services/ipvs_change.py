"""The way from the virtual servers that are there to those that are desired. Pure.

A virtual server that stays changes in place and never loses a real server before its new ones are there: connections
go on, and new ones find somebody at any moment.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from birdctl.services.model import Endpoint, RealServer, ServerKey, VirtualServer


class Step(enum.Enum):
    """What happens to a virtual server itself."""

    CREATE = enum.auto()
    SET = enum.auto()
    KEEP = enum.auto()
    DELETE = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChange:
    """One virtual server's change: first itself, then its real servers as they stand here.

    `server` is as it shall be; for `DELETE`, as it was.
    """

    server: VirtualServer
    step: Step
    coming: tuple[RealServer, ...] = ()
    changing: tuple[RealServer, ...] = ()
    going: tuple[RealServer, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self.step is Step.KEEP and not (self.coming or self.changing or self.going)


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsChanges:
    """To be done in this order; deletions are last."""

    servers: tuple[ServerChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.servers)


def changes(
    known: Mapping[ServerKey, VirtualServer],
    desired: Mapping[ServerKey, VirtualServer],
    touched: Collection[ServerKey] | None = None,
) -> IpvsChanges:
    """What makes `known` the desired state. `touched`: only these may differ; None: all may.

    What others made goes on existing, unless it has a desired key: then it becomes ours, in place.
    """
    keys = desired if touched is None else [key for key in touched if key in desired]
    made = (_change(known.get(key), desired[key]) for key in keys)
    gone = (key for key in (known if touched is None else touched) if key in known and key not in desired)
    removed = (ServerChange(server=known[key], step=Step.DELETE) for key in gone if known[key].ours)
    return IpvsChanges(servers=(*(each for each in made if each and not each.is_empty), *removed))


def _change(old: VirtualServer | None, new: VirtualServer) -> ServerChange | None:
    if old is new:
        return None
    if old is None:
        return ServerChange(server=new, step=Step.CREATE, coming=new.real_servers)
    step = Step.KEEP if _settings(old) == _settings(new) else Step.SET
    if old.real_servers == new.real_servers and old.forwarding is new.forwarding:
        return ServerChange(server=new, step=step)
    before, after = _by_endpoint(old), _by_endpoint(new)
    changing = _changing(before, after, everything=old.forwarding is not new.forwarding)
    return ServerChange(
        server=new,
        step=step,
        coming=tuple(each for endpoint, each in after.items() if endpoint not in before),
        changing=tuple(sorted(changing, key=lambda each: each.weight, reverse=True)),
        going=tuple(each for endpoint, each in before.items() if endpoint not in after),
    )


def _settings(server: VirtualServer) -> tuple[object, ...]:
    return server.ours, server.scheduler, server.flags, server.persistence_seconds


def _by_endpoint(server: VirtualServer) -> dict[Endpoint, RealServer]:
    return {each.endpoint: each for each in server.real_servers}


def _changing(
    before: Mapping[Endpoint, RealServer], after: Mapping[Endpoint, RealServer], *, everything: bool
) -> Iterator[RealServer]:
    """Real servers that stay, with another weight or, all of them, another way to get there."""
    for endpoint, each in after.items():
        if endpoint in before and (everything or before[endpoint].weight != each.weight):
            yield each
