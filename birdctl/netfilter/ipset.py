"""The kernel's ipsets: reads ours, creates, fills, changes and destroys them. Sets of others are never touched.

Many changes are one send. What the kernel refuses is told by set, so that one bad set is one policy's problem.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

from birdctl.errors import Unavailable
from birdctl.netfilter import ipset_wire
from birdctl.netfilter.ipset_change import Membership
from birdctl.netfilter.model import IpSet, Owner
from birdctl.netfilter.netlink import Message, Netlink

_TAKEN = "a set of that name and another kind is there, and rules of others use it"
_NAMED = {
    4097: "it does not understand the request",
    4098: "it lacks this type of set (load the modules ip_set_hash_*)",
    4099: "it holds as many sets as it can",
    4100: "the set is in use",
    4102: "the set is of another type",
    errno.EEXIST: _TAKEN,
    4352: "the set is full",
}
"""What ip_set.h's own error numbers mean, and one that it uses in its own way."""


class IpsetBackend:
    """An owner's sets in this network namespace; `close` it in the end. Raises Unavailable: the kernel has no ipset."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._netlink = Netlink("ipset")

    def close(self) -> None:
        self._netlink.close()

    def read(self) -> dict[str, IpSet]:
        """Our sets with their entries; `meaning` is not in the kernel."""
        found = (self._read_one(name) for name in sorted(self.names()))
        return {each.name: each for each in found if each}

    def names(self) -> frozenset[str]:
        """Our sets' names."""
        return frozenset(name for name in self.all_names() if name.startswith(self._owner.set_prefix))

    def all_names(self) -> frozenset[str]:
        """Everybody's sets' names."""
        try:
            return frozenset(ipset_wire.name_of(each) for each in self._netlink.dump(ipset_wire.names()))
        except OSError as error:
            raise Unavailable(
                f"the kernel has no ipset ({explained(error.errno or 0)}): load the module ip_set"
            ) from None

    def _read_one(self, name: str) -> IpSet | None:
        try:
            return ipset_wire.parse(self._netlink.dump(ipset_wire.contents(name)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise Unavailable(f"ipset {name} cannot be read: {explained(error.errno or 0)}") from None

    def ports(self, name: str) -> frozenset[int]:
        """The ports in a set, whoever's; none where it is gone."""
        try:
            return ipset_wire.ports(self._netlink.dump(ipset_wire.contents(name)))
        except OSError:
            return frozenset()

    def create(self, wanted: Collection[IpSet]) -> dict[str, str]:
        """Makes sets and fills them; one of another kind under the same name goes, unless rules use it.

        The reasons of those that the kernel refused, by name.
        """
        errors = self._make(wanted)
        if taken := [each for each in wanted if errors.get(each.name) == _TAKEN]:
            self.destroy(each.name for each in taken)
            errors = {name: reason for name, reason in errors.items() if reason != _TAKEN} | self._make(taken)
        made = [each for each in wanted if each.name not in errors]
        return errors | self._send((each.name, ipset_wire.add(each.name, each.entries)) for each in made)

    def _make(self, wanted: Collection[IpSet]) -> dict[str, str]:
        return self._send((each.name, [ipset_wire.create(each)]) for each in wanted)

    def add(self, changes: Iterable[Membership]) -> dict[str, str]:
        """In the order given. The reasons of what the kernel refused, by set."""
        return self._send((each.name, ipset_wire.add(each.name, each.entries)) for each in changes)

    def delete(self, changes: Iterable[Membership]) -> dict[str, str]:
        """In the order given. The reasons of what the kernel refused, by set."""
        return self._send((each.name, ipset_wire.delete(each.name, each.entries)) for each in changes)

    def destroy(self, names: Iterable[str]) -> dict[str, str]:
        """The reasons of those that stay, by name (a rule uses them)."""
        return self._send((name, [ipset_wire.destroy(name)]) for name in names)

    def _send(self, requests: Iterable[tuple[str, Iterable[Message]]]) -> dict[str, str]:
        owners: list[str] = []

        def messages(name: str, parts: Iterable[Message]) -> Iterable[Message]:
            for part in parts:
                owners.append(name)
                yield part

        errors = self._netlink.request(chain.from_iterable(messages(name, parts) for name, parts in requests))
        return _by_name(owners, errors)


def _by_name(owners: list[str], errors: Mapping[int, int]) -> dict[str, str]:
    return {owners[position]: explained(number) for position, number in errors.items()}


def explained(number: int) -> str:
    """What the kernel's error number says."""
    return _NAMED.get(number) or os.strerror(number)
