"""What `show route all` means, line by line, for tables of any size.

A route is a heading, its next hops, and attributes whose names differ: `BGP.as_path` in BIRD 2, `bgp_path` in BIRD 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from birdctl.addresses import Address, Prefix, parse_address, parse_prefix
from birdctl.errors import Unavailable
from birdctl.routing.protocol import Line
from birdctl.routing.state import NextHop, RouteState

_ROUTE = 1007
STOPPED = 8004

# 10.2.0.0/24          unicast [tor1 09:08:14.467 from 10.0.0.2] * (100) [AS65010i]
_HEADING = re.compile(
    r"(?P<prefix>\S*)\s+(?P<kind>\w+) \[(?P<protocol>\S+) [^\]]*?(?:from (?P<source>[^\]\s]+))?\](?P<best> [*!])? \("
)
_VIA = re.compile(r"\t(?:via (?P<address>\S+) on|dev) (?P<interface>\S+)(?:.* weight (?P<weight>\d+))?")
_ATTRIBUTE = re.compile(r"\t(?:BGP\.|bgp_)?(\w+): (.*)")


@dataclass(slots=True)
class _Route:
    """A route that is still being read; attributes by BIRD's name without the `BGP.` or `bgp_` in front."""

    prefix: Prefix
    heading: re.Match[str]
    next_hops: list[NextHop] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


def routes(lines: Iterable[Line]) -> Iterator[RouteState]:
    """The routes of `show route all …` in BIRD's order, each as soon as it is complete.

    Raises Unavailable when a reconfiguration made BIRD stop in the middle.
    """
    route: _Route | None = None
    for line in lines:
        if line.code == STOPPED:
            raise Unavailable(f"BIRD broke off its routes: {line.text}")
        if line.code == _ROUTE and (heading := _HEADING.match(line.text)):
            if route:
                yield _state(route)
            route = _Route(_prefix(heading, route), heading)
        elif route:
            _detail(route, line.text)
    if route:
        yield _state(route)


def _prefix(heading: re.Match[str], previous: _Route | None) -> Prefix:
    """A second route for a prefix does not repeat it."""
    if previous and not heading["prefix"]:
        return previous.prefix
    return parse_prefix(heading["prefix"])


def _detail(route: _Route, text: str) -> None:
    if attribute := _ATTRIBUTE.match(text):
        route.attributes[attribute[1]] = attribute[2]
    elif via := _VIA.match(text):
        address = parse_address(via["address"]) if via["address"] else None
        route.next_hops.append(NextHop(address=address, interface=via["interface"], weight=int(via["weight"] or 1)))


def _state(route: _Route) -> RouteState:
    attributes = route.attributes
    return RouteState(
        prefix=route.prefix,
        protocol=route.heading["protocol"],
        best=route.heading["best"] is not None,
        next_hops=tuple(route.next_hops),
        as_path=tuple(_numbers(attributes.get("as_path", attributes.get("path", "")))),
        communities=_communities(attributes.get("community", "")),
        large_communities=_communities(attributes.get("large_community", "")),
        local_pref=next(_numbers(attributes.get("local_pref", "")), None),
        med=next(_numbers(attributes.get("med", "")), None),
        originator=attributes.get("originator_id", ""),
        learned_from=_learned_from(route),
        unreachable=route.heading["kind"] == "unreachable",
    )


def _learned_from(route: _Route) -> Address | None:
    """The BGP neighbour. BIRD 2 names it only where it is not the next hop."""
    if source := route.heading["source"] or route.attributes.get("from"):
        return parse_address(source.partition("%")[0])
    is_bgp = "origin" in route.attributes
    return route.next_hops[0].address if is_bgp and route.next_hops else None


def _communities(text: str) -> tuple[str, ...]:
    """`(65001,80) (64512, 1, 2)` as `65001:80` and `64512:1:2`."""
    return tuple(":".join(_numbers_in(each)) for each in re.findall(r"\(([^)]*)\)", text))


def _numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _numbers(text: str) -> Iterator[int]:
    return (int(number) for number in _numbers_in(text))
