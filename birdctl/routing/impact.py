"""What going from one bird.conf to another does to sessions and prefixes, by BIRD's own rules.

The rules are those of BIRD's manual ("Reconfiguration") and of measurements; `tests/bird/test_impact_is_true.py` makes
each change on a running BIRD and compares. Passwords are compared and never shown.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from birdctl.addresses import Prefix, parse_prefix, sort_key
from birdctl.routing.statements import Statement, parse, sections, shared


class Effect(enum.StrEnum):
    """What happens to a protocol. A reload evaluates routes again and interrupts nothing."""

    NOTHING = "nothing"
    RELOAD_IN = "reload in"
    RELOAD_OUT = "reload out"
    RELOAD = "reload in and out"
    RESTART = "restart"
    NEW = "new"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class SessionImpact:
    """One protocol's fate. `causes`: the statements that changed ("hold time 90 -> 9"), also those without effect."""

    protocol: str
    effect: Effect
    causes: tuple[str, ...] = ()


class OriginatedPrefix(NamedTuple):
    """A prefix and the static protocol that originates it."""

    prefix: Prefix
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """All that a change does. `known` is False when what runs is not ours: then the whole candidate is new.

    `sessions` are the BGP protocols of both sides, by name; `others` those of the other protocols that something
    happens to (the kernel's, for instance). A prefix that only changes its static protocol is `moved`: BIRD may
    withdraw it, and announces it again in the same moment, perhaps with other attributes.
    """

    known: bool
    sessions: tuple[SessionImpact, ...]
    others: tuple[SessionImpact, ...]
    added: tuple[OriginatedPrefix, ...]
    withdrawn: tuple[OriginatedPrefix, ...]
    moved: tuple[OriginatedPrefix, ...]

    @property
    def interrupted(self) -> frozenset[str]:
        """Sessions that go down: restarted or removed."""
        down = (Effect.RESTART, Effect.REMOVED)
        return frozenset(each.protocol for each in self.sessions if each.effect in down)

    @property
    def touched(self) -> frozenset[str]:
        """Sessions that stay up although something of theirs changes."""
        gone = (Effect.RESTART, Effect.NEW, Effect.REMOVED)
        return frozenset(each.protocol for each in self.sessions if each.causes and each.effect not in gone)

    @property
    def summary(self) -> Mapping[Effect, int]:
        """How many sessions meet each effect."""
        return Counter(each.effect for each in self.sessions)


def impact(running: str | None, candidate: str, version: tuple[int, ...]) -> Impact:
    """What BIRD of `version` does when it goes from `running` (None: not ours, unknown) to `candidate`.

    Raises ValueError for a text whose braces do not match.
    """
    old, new = _Config(running or ""), _Config(candidate)
    comparison = _Comparison(old, new, _rules(version))
    return Impact(
        known=running is not None,
        sessions=tuple(comparison.protocols("bgp")),
        others=tuple(
            each for kind in _OTHER_TYPES for each in comparison.protocols(kind) if each.effect is not Effect.NOTHING
        ),
        **_prefixes(old.protocols("static"), new.protocols("static")),
    )


Rules = Mapping[str, Effect]

# Statements of BGP protocols and their channels by their first words, and what a change of each does. What is not
# named here restarts the session: BIRD's rule for all that its manual does not name.
_BGP = dict.fromkeys(
    (
        *(
            "local",
            "neighbor",
            "interface",
            "dynamic name",
            "strict bind",
            "multihop",
            "direct",
            "ttl security",
            "passive",
        ),
        *("authentication", "password", "hold time", "keepalive time", "connect retry time", "connect delay time"),
        *("error wait time", "graceful restart", "graceful restart time", "long lived graceful restart"),
        *("long lived stale time", "rr client", "rr cluster id", "allow local as"),
        *("next hop address", "extended next hop", "igp table", "add paths"),
    ),
    Effect.RESTART,
)
_BGP |= dict.fromkeys(("description", "bfd", "import keep filtered", "import limit", "export limit"), Effect.NOTHING)
_BGP |= {"import": Effect.RELOAD_IN, "export": Effect.RELOAD_OUT, "next hop self": Effect.RELOAD_OUT}

_RULES: Mapping[str, Rules] = {
    "bgp": _BGP,
    "kernel": dict.fromkeys(("persist", "learn", "scan time", "graceful restart", "kernel table"), Effect.RESTART)
    | {"import": Effect.RELOAD_IN, "export": Effect.RELOAD_OUT, "merge paths": Effect.RELOAD_OUT},
    "pipe": {"import": Effect.RELOAD_IN, "export": Effect.RELOAD_OUT},
    "direct": {},
    "device": {"scan time": Effect.NOTHING},
    "bfd": {},
}
# BIRD 2.0.12 only sends everything again, still with the old next hop: that one comes into force with the next restart.
_BGP_BEFORE_2_17 = _BGP | {"next hop address": Effect.RELOAD_OUT}
_BGP_3 = _BGP | {"import keep filtered": Effect.RESTART}
_OTHER_TYPES = ("kernel", "pipe", "direct", "device", "bfd")
_CHANNELS = ("ipv4", "ipv6")
_SYMBOLS = ("filter", "function", "define")
_DIGEST = "BIRDCTL_DIGEST"  # always differs, and nothing uses it
_ROUTE = re.compile(r'#[^\n]*|"[^"]*"|\broute\s+([^\s;{]+)')


_Change = tuple[Effect, str]


def _rules(version: tuple[int, ...]) -> Mapping[str, Rules]:
    """What changed statements do, by type of protocol."""
    bgp = _BGP_3 if version >= (3,) else _BGP if version >= (2, 17) else _BGP_BEFORE_2_17
    return {**_RULES, "bgp": bgp}


class _Config:
    """The outermost statements of one configuration, by what they are.

    `symbols`: the text of each filter, function and define, by name; `router_id`: the whole statement.
    """

    def __init__(self, text: str) -> None:
        self._protocols: dict[str, dict[str, str]] = {}
        self.symbols: dict[str, str] = {}
        self.router_id = ""
        for head, statement in sections(text).items():
            kind, *rest = head.split(maxsplit=2)
            if kind == "protocol":
                self._protocols.setdefault(rest[0], {})[" ".join(rest[1:])] = statement
            elif kind in _SYMBOLS and rest[0] != _DIGEST:
                self.symbols[rest[0]] = statement
            elif kind == "router":
                self.router_id = head

    def protocols(self, kind: str) -> Mapping[str, str]:
        """The text of each protocol of one type, by name."""
        return self._protocols.get(kind, {})


class _Comparison:
    """Two configurations, and what their protocols have in common: the filters and the router ID."""

    def __init__(self, old: _Config, new: _Config, rules: Mapping[str, Rules]) -> None:
        self._old = old
        self._new = new
        self._rules = rules
        self._symbols = _changed_symbols(old.symbols, new.symbols)

    def protocols(self, kind: str) -> Iterator[SessionImpact]:
        """What happens to each protocol of one type, by name."""
        old, new = self._old.protocols(kind), self._new.protocols(kind)
        for name in sorted(old.keys() | new.keys()):
            if name not in old:
                yield SessionImpact(name, Effect.NEW)
            elif name not in new:
                yield SessionImpact(name, Effect.REMOVED)
            else:
                changes = [*self._router_id(kind), *self._changes(kind, old[name], new[name])]
                yield SessionImpact(
                    name, _combined(effect for effect, _ in changes), tuple(cause for _, cause in changes)
                )

    def _router_id(self, kind: str) -> Iterator[_Change]:
        if kind == "bgp" and self._old.router_id != self._new.router_id:
            yield Effect.RESTART, f"{self._old.router_id} -> {self._new.router_id.removeprefix('router id ')}"

    def _changes(self, kind: str, old: str, new: str) -> Iterator[_Change]:
        if old == new and not _mentions(new, self._symbols):
            return
        before, after = _blocks(old), _blocks(new)
        for channel in sorted(before.keys() | after.keys()):
            if channel not in before or channel not in after:
                yield Effect.RESTART, f"{channel} {'added' if channel in after else 'removed'}"
                continue
            yield from _statement_changes(self._rules[kind], channel, before[channel], after[channel])
            yield from self._symbol_changes(channel, after[channel])

    def _symbol_changes(self, channel: str, statements: Iterable[Statement]) -> Iterator[_Change]:
        """Reloads for changed filters that channel statements use without having changed themselves."""
        for statement in statements:
            if used := self._symbols.intersection(statement.words):
                effect = Effect.RELOAD_IN if statement.words[0] == "import" else Effect.RELOAD_OUT
                yield effect, f"{channel} filter {', '.join(sorted(used))}"


def _changed_symbols(old: Mapping[str, str], new: Mapping[str, str]) -> frozenset[str]:
    """Filters, functions and defines whose meaning differs, be it through another one that they use."""
    common = old.keys() & new.keys()
    changed = {name for name in common if old[name] != new[name] and parse(old[name]) != parse(new[name])}
    while more := {name for name in common - changed if _mentions(new[name], changed)}:
        changed |= more
    return frozenset(changed)


def _mentions(text: str, names: AbstractSet[str]) -> bool:
    return bool(names) and not names.isdisjoint(re.findall(r"\w+", text))


def _blocks(text: str) -> dict[str, tuple[Statement, ...]]:
    """The statements of a protocol: its own under "", those of its channels under their names."""
    (protocol,) = parse(text)
    statements = protocol.block or ()
    channels = {str(each): each.block or () for each in statements if str(each) in _CHANNELS}
    return {"": tuple(each for each in statements if str(each) not in _CHANNELS), **channels}


def _statement_changes(
    rules: Rules, channel: str, old: Iterable[Statement], new: Iterable[Statement]
) -> Iterator[_Change]:
    before = {_key(rules, each): each for each in old}
    after = {_key(rules, each): each for each in new}
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key) != after.get(key):
            yield rules.get(key, Effect.RESTART), f"{channel} {_cause(key, before.get(key), after.get(key))}".lstrip()


def _key(rules: Rules, statement: Statement) -> str:
    """The longest beginning of a statement that the rules name, or its first word."""
    beginnings = (" ".join(statement.words[:count]) for count in range(len(statement.words), 0, -1))
    return next((each for each in beginnings if each in rules), statement.words[0] if statement.words else "")


def _cause(key: str, old: Statement | None, new: Statement | None) -> str:
    texts = ("", "") if key == "password" else (str(each or "").removeprefix(key) for each in (old, new))
    before, after = _difference(*(text.split() for text in texts))
    if before and after:
        return f"{key} {before} -> {after}"
    if old and new and not before and not after:
        return f"{key} changed"
    return " ".join(filter(None, (key, before or after, "removed" if before or not new else "added")))


def _difference(old: list[str], new: list[str]) -> tuple[str, str]:
    """Both without the words that they share at either end; a word before a changed value stays: `as 1`, `2`."""
    start = shared(old, new)
    end = shared(old[start:][::-1], new[start:][::-1])
    left, right = old[start : len(old) - end], new[start : len(new) - end]
    label = [word for word in old[:start][-1:] if word.isalpha()]
    if left:
        left = label + left
    elif right:
        right = label + right
    return " ".join(left), " ".join(right)


def _combined(effects: Iterable[Effect]) -> Effect:
    found = set(effects)
    if Effect.RESTART in found:
        return Effect.RESTART
    if {Effect.RELOAD_IN, Effect.RELOAD_OUT} <= found:
        return Effect.RELOAD
    return next((each for each in found if each is not Effect.NOTHING), Effect.NOTHING)


def _prefixes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[OriginatedPrefix, ...]]:
    """What static protocols begin and cease to originate, and what goes from one to another, in numeric order."""
    before, after = _routes(old, new), _routes(new, old)
    kept = {prefix for prefix, _ in before} & {prefix for prefix, _ in after}
    return {
        "added": _originated(route for route in after if route[0] not in kept),
        "withdrawn": _originated(route for route in before if route[0] not in kept),
        "moved": _originated(route for route in after - before if route[0] in kept),
    }


def _routes(these: Mapping[str, str], others: Mapping[str, str]) -> set[tuple[str, str]]:
    """Prefix and protocol of all routes of those static protocols that are not in `others` with the same text."""
    return {
        (prefix, name)
        for name, text in these.items()
        if others.get(name) != text
        for prefix in _ROUTE.findall(text)
        if prefix
    }


def _originated(routes: Iterable[tuple[str, str]]) -> tuple[OriginatedPrefix, ...]:
    prefixes = (OriginatedPrefix(parse_prefix(prefix), protocol) for prefix, protocol in routes)
    return tuple(sorted(prefixes, key=lambda each: (sort_key(each.prefix), each.protocol)))
