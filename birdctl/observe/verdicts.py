"""What a filter of bird.conf says of a route, and which of its terms decides: read from the text that runs.

Only birdctl's own form is understood: terms of the conditions on protocol, source and prefix that the renderer writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from birdctl.addresses import Prefix, parse_prefix
from birdctl.routing.statements import Statement, parse, sections

_TERM = re.compile(
    r"^  if (?P<condition>.+) then \{(?:  # (?P<comment>.*))?$(?P<body>(?:\n    .*)*)\n  \}", re.MULTILINE
)
_ATOM = re.compile(r'(?P<attribute>proto|source) = "?(?P<value>\w+)"?')
_PATTERN = re.compile(r"(?P<prefix>[0-9a-f.:]+/\d+)\{(?P<low>\d+),(?P<high>\d+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A route as filters see it: BIRD's protocol and source (RTS_STATIC, RTS_BGP) of it."""

    prefix: Prefix
    protocol: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`why` names the filter and its term; `accepted` None: the text is not of birdctl's form."""

    accepted: bool | None
    why: str


class Filters:
    """The filters of one configuration, by the sessions that use them."""

    def __init__(self, text: str) -> None:
        self._sections = sections(text)
        defines = (name.split(maxsplit=3) for name in self._sections if name.startswith("define "))
        self._sets = {name: value for _, name, _, value in defines}

    def verdict(self, protocol: str, family: str, direction: str, route: Candidate) -> Verdict:
        """`family` is `ipv4` or `ipv6`, `direction` `import` or `export`."""
        name = self._filter_of(protocol, family, direction)
        text = self._sections.get(f"filter {name}")
        if text is None:
            return Verdict(accepted=None, why=f"{direction} filter of {protocol} is not birdctl's")
        for number, term in enumerate(_TERM.finditer(text), 1):
            try:
                takes = self._holds(term["condition"], route)
            except ValueError:
                return Verdict(accepted=None, why=f"term {number} of filter {name} is not birdctl's")
            if takes:
                accepted = "accept;" in term["body"]
                what = f" ({term['comment']})" if term["comment"] else ""
                return Verdict(accepted=accepted, why=f"term {number}{what} of filter {name}")
        if "\n  accept;" in text:
            return Verdict(accepted=True, why=f"the end of filter {name}")
        return Verdict(accepted=False, why=f"no term of filter {name} takes it")

    def _filter_of(self, protocol: str, family: str, direction: str) -> str:
        session = parse(self._sections.get(f"protocol bgp {protocol}", ""))
        body = session[0].block or () if session else ()
        channel: Mapping[str, Statement] = {str(each): each for each in body if each.block is not None}
        statements = channel[family].block or () if family in channel else ()
        return next((each.words[2] for each in statements if each.words[:2] == (direction, "filter")), "")

    def _holds(self, condition: str, route: Candidate) -> bool:
        """Raises ValueError for a condition that birdctl does not write."""
        return all(self._any_holds(part, route) for part in condition.split(" && "))

    def _any_holds(self, part: str, route: Candidate) -> bool:
        if part.startswith("net ~ "):
            members = part.removeprefix("net ~ ")
            return any(_matches(each, route.prefix) for each in _PATTERN.finditer(self._sets.get(members, members)))
        return any(_is(alternative, route) for alternative in part.strip("()").split(" || "))


def _is(alternative: str, route: Candidate) -> bool:
    atom = _ATOM.fullmatch(alternative)
    if atom is None:
        raise ValueError(alternative)
    return atom["value"] == (route.protocol if atom["attribute"] == "proto" else route.source)


def _matches(pattern: re.Match[str], prefix: Prefix) -> bool:
    network = parse_prefix(pattern["prefix"])
    if network.version != prefix.version or not int(pattern["low"]) <= prefix.prefixlen <= int(pattern["high"]):
        return False
    bits = min(network.prefixlen, prefix.prefixlen)
    shift = network.max_prefixlen - bits
    return int(network.network_address) >> shift == int(prefix.network_address) >> shift
