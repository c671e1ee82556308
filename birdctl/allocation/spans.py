"""Runs of consecutive addresses, for pools too large to be listed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from birdctl.addresses import Address, Family, Prefix, family

_TYPES: Mapping[Family, Callable[[int], Address]] = {
    Family.IPV4: ipaddress.IPv4Address,
    Family.IPV6: ipaddress.IPv6Address,
}
_USABLE_BOTH_ENDS = 2
"""RFC 3021: a /31 has neither network nor broadcast address, and a /32 is a host."""


class Span(msgspec.Struct, frozen=True, order=True):
    """The addresses from `first` to `last`, both in it."""

    family: Family
    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, address: Address) -> bool:
        return family(address) is self.family and self.first <= int(address) <= self.last

    def addresses(self) -> Iterator[Address]:
        kind = _TYPES[self.family]
        return (kind(number) for number in range(self.first, self.last + 1))


def whole(prefix: Prefix) -> Span:
    return Span(family(prefix), int(prefix.network_address), int(prefix.broadcast_address))


def hosts(prefix: Prefix) -> Span:
    """The prefix without network and broadcast address; of IPv6 without the subnet-router anycast one (RFC 4291)."""
    span = whole(prefix)
    if span.size <= _USABLE_BOTH_ENDS:
        return span
    return Span(span.family, span.first + 1, span.last - (span.family is Family.IPV4))


def without(spans: Iterable[Span], excluded: Iterable[Span]) -> tuple[Span, ...]:
    """What is in `spans` and not in `excluded`, sorted, every address once."""
    rest = _merged(spans)
    for hole in excluded:
        rest = [piece for span in rest for piece in _minus(span, hole)]
    return tuple(rest)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and merged[-1].family is span.family and span.first <= merged[-1].last + 1:
            before = merged.pop()
            span = Span(span.family, before.first, max(before.last, span.last))  # noqa: PLW2901 - it grew
        merged.append(span)
    return merged


def _minus(span: Span, hole: Span) -> Iterator[Span]:
    if span.family is not hole.family or hole.last < span.first or span.last < hole.first:
        yield span
        return
    if span.first < hole.first:
        yield Span(span.family, span.first, hole.first - 1)
    if hole.last < span.last:
        yield Span(span.family, hole.last + 1, span.last)
