"""Rules as `iptables-save` prints them, in both modes: what is written reads back as the same text. Pure.

Every rule of ours ends its conditions with a comment: `MARK:DIGEST EFFECT ORIGINS`, the mark being its owner's. The
digest is of the whole rule with all of its origins; their names are cut where a comment's 255 bytes end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_network
from itertools import takewhile
from operator import attrgetter

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.netfilter.model import BUILTIN, Chain, Effect, Owner, Rule, SetMatch, Table, TableName

CUT = "..."
"""Ends names that did not fit."""
_COMMENT_BYTES = 255
_DIGEST_BYTES = 6
_UNPRINTABLE = re.compile(r"[^ -~]")
_PLAIN = re.compile(r"[\w.:/,+=@%-]+", re.ASCII)


def rule(value: Rule, owner: Owner) -> str:
    """The rule without `-A CHAIN`. Its ports need a protocol."""
    return _rule(value, owner)


@lru_cache(maxsize=1 << 15)
def _rule(value: Rule, owner: Owner) -> str:
    told = f'-m comment --comment "{_escaped(comment(value, owner))}"'
    return " ".join((*_conditions(value), told, *_target(value)))


@lru_cache(maxsize=1 << 15)
def digest(value: Rule) -> str:
    """Twelve hexadecimal digits that stand for the rule and whose it is."""
    text = "\n".join((*_conditions(value), *_target(value), value.effect or "", *value.origins))
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def comment(value: Rule, owner: Owner) -> str:
    words = [f"{owner.mark}{digest(value)}"]
    if value.effect:
        words.append(value.effect)
    words.append(", ".join(value.origins))
    return _cut(_printable(" ".join(words).rstrip()))


def _cut(text: str) -> str:
    if len(text.encode()) <= _COMMENT_BYTES:
        return text
    return text.encode()[: _COMMENT_BYTES - len(CUT.encode())].decode(errors="ignore") + CUT


def _conditions(value: Rule) -> Iterator[str]:
    if value.source:
        yield f"-s {value.source}"
    if value.destination:
        yield f"-d {value.destination}"
    if value.protocol:
        yield f"-p {value.protocol}"
    if value.ports:
        yield f"-m {value.protocol} --dport {_ports(*value.ports)}"
    for match in value.sets:
        yield f"-m set {'! ' * match.negated}--match-set {match.name} {match.directions}"
    yield from map(_quoted, value.extra)


def _target(value: Rule) -> Iterator[str]:
    yield f"{'-g' if value.goto else '-j'} {value.target}"
    yield from map(_quoted, value.options)


def _ports(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}:{high}"


def _quoted(word: str) -> str:
    return word if _PLAIN.fullmatch(word) or word == "!" else f'"{_escaped(_printable(word))}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _printable(text: str) -> str:
    """One line, a byte a character, whatever somebody called an object."""
    return _UNPRINTABLE.sub("?", text)


def chain_lines(chain: Chain, owner: Owner) -> list[str]:
    """`-A CHAIN …` of each rule."""
    return [f"-A {chain.name} {rule(each, owner)}" for each in chain.rules]


def table_text(table: Table) -> str:
    """The whole of a table for `iptables-restore --noflush`, onto a kernel that has nothing of ours."""
    lines = [f"*{table.name}", *(f":{name} - [0:0]" for name in table.chains)]
    for chain in table.chains.values():
        lines += chain_lines(chain, table.owner)
    lines += [f"-I {hook} 1 {rule(each, table.owner)}" for hook, each in reversed(table.hooks)]
    return "\n".join([*lines, "COMMIT", ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One line of a saved chain."""

    text: str
    packets: int = 0
    bytes: int = 0

    @property
    def owner(self) -> Owner | None:
        """Whose comment it carries; None when it is not birdctl's."""
        return next((owner for owner in Owner if f'"{owner.mark}' in self.text), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A saved table: the owner's chains, and all rules of the kernel's own ones."""

    owner: Owner
    family: Family
    chains: Mapping[str, tuple[Counted, ...]]
    builtin: Mapping[str, tuple[Counted, ...]]
    name: TableName = "filter"


_DEFAULT = {
    Family.IPV4: " --reject-with icmp-port-unreachable",
    Family.IPV6: " --reject-with icmp6-port-unreachable",
}
"""What is printed of a plain REJECT."""
_LINE = re.compile(r"(?:\[(\d+):(\d+)\] )?-A (\S+) (.*)")


def saved(text: str, owner: Owner, family: Family, table_name: TableName = "filter") -> Saved:
    """One table of what `iptables-save -c` printed."""
    builtin = BUILTIN[table_name]
    chains: dict[str, list[Counted]] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line == f"*{table_name}"
        elif line.startswith(":") and inside:
            name = line[1:].split(" ", 1)[0]
            if name in builtin or name.startswith(owner.chain_prefix):
                chains[name] = []
        elif inside and (match := _LINE.match(line)) and match[3] in chains:
            rule_text = match[4].removesuffix(_DEFAULT[family])
            chains[match[3]].append(Counted(text=rule_text, packets=int(match[1] or 0), bytes=int(match[2] or 0)))
    return Saved(
        owner=owner,
        family=family,
        name=table_name,
        chains={name: tuple(lines) for name, lines in chains.items() if name not in builtin},
        builtin={name: tuple(chains.get(name, ())) for name in builtin},
    )


def table(value: Saved) -> Table:
    """The owner's part of a saved table; hooks are those that no rule of somebody else's stands before.

    Raises BackendError naming a rule that birdctl does not write.
    """
    first = {name: takewhile(attrgetter("owner"), lines) for name, lines in value.builtin.items()}
    hooks = [(name, each) for name, lines in first.items() for each in lines if each.owner is value.owner]
    return Table(
        owner=value.owner,
        family=value.family,
        name=value.name,
        hooks=tuple((name, parse(each.text)) for name, each in hooks),
        chains={
            name: Chain(name=name, rules=tuple(parse(each.text) for each in lines))
            for name, lines in value.chains.items()
        },
    )


def parse(text: str) -> Rule:
    """The rule that `rule` rendered. Raises BackendError when it cannot be one of ours."""
    words = iter(split(text))
    found = Rule(target="")
    try:
        for word in words:
            if word in ("-j", "-g"):
                return replace(found, target=next(words), goto=word == "-g", options=tuple(words))
            found = _condition(found, word, words)
    except (StopIteration, ValueError):
        pass
    raise BackendError(f"not a rule of birdctl's: {text}")


_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def split(text: str) -> tuple[str, ...]:
    """The words of a rule, without their quotes."""
    return tuple(plain or re.sub(r"\\(.)", r"\1", quoted) for quoted, plain in _WORD.findall(text))


def _condition(found: Rule, word: str, words: Iterator[str]) -> Rule:
    match word:
        case "-s":
            return replace(found, source=ip_network(next(words)))
        case "-d":
            return replace(found, destination=ip_network(next(words)))
        case "-p":
            return replace(found, protocol=next(words))
        case "-m":
            return _match(found, next(words, ""), words)
        case _:
            return replace(found, extra=(*found.extra, word))


def _match(found: Rule, name: str, words: Iterator[str]) -> Rule:
    if name == "set":
        return replace(found, sets=(*found.sets, _set_match(words)))
    if name == "comment":
        next(words)
        return _commented(found, next(words))
    if name == found.protocol:
        option, value = next(words), next(words)
        if option == "--dport":
            return replace(found, ports=_port_range(value))
        return replace(found, extra=(*found.extra, "-m", name, option, value))
    return replace(found, extra=(*found.extra, "-m", name))


def _set_match(words: Iterator[str]) -> SetMatch:
    first = next(words)
    negated = first == "!"
    if negated:
        next(words)
    return SetMatch(name=next(words), directions=next(words), negated=negated)


def _commented(found: Rule, text: str) -> Rule:
    """With what the comment says of effect and origins."""
    _, _, rest = text.partition(" ")
    word, _, names = rest.partition(" ")
    if word in _EFFECTS:
        return replace(found, effect=_EFFECTS[word], origins=_origins(names))
    return replace(found, origins=_origins(rest))


def _origins(names: str) -> tuple[str, ...]:
    return tuple(names.split(", ")) if names else ()


def _port_range(text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    return int(low), int(high or low)


_EFFECTS = {each.value: each for each in Effect}
