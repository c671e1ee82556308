"""The announcements of all services together, kept from one compilation to the next.

A prefix stays as long as any service claims it; it is originated by the protocol of its class, the union of the rules
of all its claims. Changing one service costs the prefixes of that service and the protocols they are in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from birdctl.addresses import Family, Prefix, family, sort_key
from birdctl.errors import InputError
from birdctl.routing.compile.advertisements import DEFAULTS, Class
from birdctl.routing.compile.names import digit, symbol
from birdctl.routing.compile.services import NOTHING, Announcement, Claim
from birdctl.routing.model import Originated

Placed = tuple[Class, Family]
Member = tuple[tuple[int, int, int], Prefix, str]
"""Sort key, prefix and source: members sort without a look at the prefix."""


class ServiceBook:
    """Which service announces what. Not thread-safe; owned by one compiler."""

    def __init__(self) -> None:
        self._announcements: dict[str, Announcement] = {}
        self._problems: dict[str, tuple[InputError, ...]] = {}
        self._claims: dict[Prefix, dict[str, Claim]] = {}
        self._members: dict[Placed, dict[Prefix, Member]] = {}
        self._originated: dict[Placed, Originated] = {}

    @property
    def services(self) -> Collection[str]:
        return self._announcements.keys()

    @property
    def classes(self) -> Collection[Placed]:
        """The classes that originate something, by family."""
        return self._members.keys()

    @property
    def problems(self) -> Iterator[InputError]:
        return (problem for problems in self._problems.values() for problem in problems)

    def put(self, service: str, announcement: Announcement) -> None:
        """Records what `service` announces now; NOTHING forgets it."""
        before = self._announcements.pop(service, NOTHING)
        self._problems.pop(service, None)
        if announcement != NOTHING:
            self._announcements[service] = announcement
        if announcement.problems:
            self._problems[service] = announcement.problems
        for prefix in before.claims.keys() | announcement.claims.keys():
            if before.claims.get(prefix) != announcement.claims.get(prefix):
                self._change(prefix, service, announcement.claims.get(prefix))

    def originated(self) -> tuple[Originated, ...]:
        """One protocol per class and family that has a prefix; unchanged ones are the same values as before."""
        for placed, members in self._members.items():
            if placed not in self._originated:
                self._originated[placed] = _protocol(placed, members)
        return tuple(self._originated.values())

    def _change(self, prefix: Prefix, service: str, claim: Claim | None) -> None:
        claims = self._claims.setdefault(prefix, {})
        self._displace(prefix, claims)
        if claim:
            claims[service] = claim
        else:
            claims.pop(service, None)
        if not claims:
            del self._claims[prefix]
            return
        placed = _place(prefix, claims)
        source = min(claim.source for claim in claims.values())
        self._members.setdefault(placed, {})[prefix] = (sort_key(prefix), prefix, source)
        self._originated.pop(placed, None)

    def _displace(self, prefix: Prefix, claims: Mapping[str, Claim]) -> None:
        if not claims:
            return
        placed = _place(prefix, claims)
        self._originated.pop(placed, None)
        del self._members[placed][prefix]
        if not self._members[placed]:
            del self._members[placed]


def protocol_name(rules: Class, each: Family) -> str:
    """The static protocol of a class: `services4` for the defaults, `services_web4` for a BGPAdvertisement."""
    name = "+".join(sorted(rules))
    return f"{symbol('services', name) if name else 'services'}{digit(each)}"


def _place(prefix: Prefix, claims: Mapping[str, Claim]) -> Placed:
    return frozenset().union(*(claim.rules for claim in claims.values())), family(prefix)


def _protocol(placed: Placed, members: Mapping[Prefix, Member]) -> Originated:
    rules, each = placed
    ordered = sorted(members.values())
    return Originated(
        name=protocol_name(rules, each),
        family=each,
        origin=", ".join(describe(rules)),
        prefixes=tuple(prefix for _, prefix, _ in ordered),
        sources=tuple(source for _, _, source in ordered),
    )


def describe(rules: Class) -> list[str]:
    """The rules in a person's words."""
    return [
        f"BGPAdvertisement {name}" if name != DEFAULTS else "services advertised by default" for name in sorted(rules)
    ]
