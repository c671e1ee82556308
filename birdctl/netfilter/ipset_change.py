"""From some sets to others: what is made, filled, changed in place and destroyed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from birdctl.netfilter.model import Entry, IpSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Entries of one set that come or go."""

    name: str
    entries: Collection[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetChanges:
    """What happens to sets: some are new, members come to and go from others, some are no longer used."""

    create: tuple[IpSet, ...]
    coming: tuple[Membership, ...]
    going: tuple[Membership, ...]
    destroy: tuple[str, ...]


def set_changes(known: Mapping[str, IpSet], desired: Mapping[str, IpSet]) -> SetChanges:
    kept = list(changed_sets(known, desired))
    return SetChanges(
        create=tuple(each for name, each in desired.items() if name not in known or not _alike(known[name], each)),
        coming=tuple(_membership(new.name, new.entries - old.entries) for old, new in kept),
        going=tuple(_membership(new.name, old.entries - new.entries) for old, new in kept),
        destroy=tuple(name for name in known if name not in desired),
    )


def _membership(name: str, entries: Collection[Entry]) -> Membership:
    return Membership(name=name, entries=entries)


def changed_sets(known: Mapping[str, IpSet], desired: Mapping[str, IpSet]) -> Iterator[tuple[IpSet, IpSet]]:
    """Sets that stay, with other members: before and after."""
    for name, each in desired.items():
        old = known.get(name)
        if old is not None and old is not each and old.entries != each.entries and _alike(old, each):
            yield old, each


def _alike(one: IpSet, other: IpSet) -> bool:
    """A set of another kind under the same name is not this one, which has to be made."""
    return (one.type, one.family, one.timeout) == (other.type, other.family, other.timeout)
