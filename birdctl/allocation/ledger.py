"""Who holds which address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from birdctl.addresses import Address, Family, family
from birdctl.allocation.pools import Pool
from birdctl.allocation.wish import Wish


class Reservation(NamedTuple):
    """An address that an object has from elsewhere; `ref` names the object."""

    ref: str
    how: str

    def __str__(self) -> str:
        return f"{self.ref} ({self.how})"


class Ledger:
    """Addresses with their holders: the wishes they were given to, and others' reservations."""

    def __init__(self) -> None:
        self._holders: defaultdict[Address, list[Wish | Reservation]] = defaultdict(list)
        self._shared: defaultdict[str, list[Address]] = defaultdict(list)
        self._next: dict[tuple[str, Family], Iterator[Address]] = {}
        self._returned: dict[Address, None] = {}

    def reserve(self, address: Address, reservation: Reservation) -> None:
        """For good."""
        self._holders[address].append(reservation)

    def give(self, address: Address, wish: Wish) -> None:
        self._holders[address].append(wish)
        if wish.sharing:
            self._shared[wish.sharing].append(address)

    def take_back(self, address: Address, wish: Wish) -> None:
        self._holders[address].remove(wish)
        if wish.sharing:
            self._shared[wish.sharing].remove(address)
        self._returned[address] = None

    def holder(self, address: Address, wish: Wish) -> str:
        """Who keeps `wish` from having the address: "" when nobody does, else a name."""
        for each in self._holders.get(address, ()):
            if isinstance(each, Reservation):
                if each.ref != wish.service.ref:
                    return str(each)
            elif not _share(each, wish):
                return each.service.ref
        return ""

    def shared(self, wish: Wish) -> Iterator[Address]:
        """Addresses of others that have the same sharing key."""
        if wish.sharing:
            yield from self._shared[wish.sharing]

    def free(self, pool: Pool, of: Family) -> Address | None:
        """The next address of the pool that nobody holds. Nothing that it went past becomes free but by `take_back`."""
        returned = (address for address in self._returned if family(address) is of and address in pool)
        following = self._next.setdefault(
            (pool.name, of),
            (address for span in pool.spans if span.family is of for address in span.addresses()),
        )
        return next((address for address in chain(returned, following) if not self._holders.get(address)), None)

    def used(self, pool: Pool, of: Family) -> int:
        return sum(
            1 for address, holders in self._holders.items() if holders and family(address) is of and address in pool
        )


def _share(one: Wish, other: Wish) -> bool:
    return bool(one.sharing) and one.sharing == other.sharing and one.ports.isdisjoint(other.ports)
