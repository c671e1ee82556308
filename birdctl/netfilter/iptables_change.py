"""From a table to the one transaction that makes it another. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import takewhile

from birdctl.netfilter.iptables_text import Counted, Saved, chain_lines, rule, split
from birdctl.netfilter.model import Chain, Owner, Rule, Table, TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """What one transaction does to a table: chains made or filled anew, chains removed, and lines about hooks."""

    owner: Owner
    name: TableName = "filter"
    fill: tuple[Chain, ...] = ()
    remove: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fill or self.remove or self.hooks)

    @property
    def text(self) -> str:
        """For `iptables-restore --noflush`. A chain that is declared is emptied; removed chains go when unused."""
        lines = [f"*{self.name}", *(f":{each.name} - [0:0]" for each in self.fill)]
        for each in self.fill:
            lines += chain_lines(each, self.owner)
        lines += self.hooks
        lines += [f"-F {name}" for name in self.remove]
        lines += [f"-X {name}" for name in self.remove]
        return "\n".join([*lines, "COMMIT", ""])


def since(known: Table, desired: Table, hooks: tuple[str, ...] | None = None) -> TableChange:
    """From what is known to be in the kernel. `hooks` are the lines about hooks if something else is known of them."""
    return TableChange(
        owner=desired.owner,
        name=desired.name,
        fill=tuple(each for name, each in desired.chains.items() if known.chains.get(name) != each),
        remove=tuple(name for name in known.chains if name not in desired.chains),
        hooks=_rehooked(known, desired) if hooks is None else hooks,
    )


def _rehooked(known: Table, desired: Table) -> tuple[str, ...]:
    if known.hooks == desired.hooks:
        return ()
    return (
        *(f"-D {name} {rule(each, known.owner)}" for name, each in known.hooks),
        *(f"-I {name} 1 {rule(each, desired.owner)}" for name, each in reversed(desired.hooks)),
    )


def recognised(found: Saved, desired: Table) -> Table:
    """The saved table with chains that are as desired; those that are not stand empty."""
    return replace(
        desired,
        chains={
            name: desired.chains[name] if _as_desired(name, lines, desired) else Chain(name=name, rules=())
            for name, lines in found.chains.items()
        },
    )


def _as_desired(name: str, lines: tuple[Counted, ...], desired: Table) -> bool:
    return name in desired.chains and _same(lines, desired.chains[name].rules, desired.owner)


def rehook(found: Saved, desired: Table) -> tuple[str, ...]:
    """What puts the hooks first in each of the kernel's chains, behind those of owners of a lower rank, and takes them
    away everywhere else.
    """
    lines: list[str] = []
    for name, present in found.builtin.items():
        wanted = tuple(each for hook, each in desired.hooks if hook == name)
        first = _others_first(present, found.owner)
        ours = tuple(each for each in present if each.owner is found.owner or _leads_to(each, found.chains))
        if ours != present[first : first + len(ours)] or not _same(ours, wanted, found.owner):
            lines += [f"-D {name} {each.text}" for each in ours]
            lines += [f"-I {name} {first + 1} {rule(each, found.owner)}" for each in reversed(wanted)]
    return tuple(lines)


def _others_first(present: tuple[Counted, ...], owner: Owner) -> int:
    """How many lines in the beginning are hooks that go before this owner's."""
    return sum(1 for _ in takewhile(lambda each: each.owner is not None and each.owner.rank < owner.rank, present))


def removal(found: Saved) -> TableChange:
    """Takes away all that is ours."""
    nothing = Table(owner=found.owner, family=found.family, name=found.name, hooks=(), chains={})
    hooks = rehook(found, nothing)
    return TableChange(owner=found.owner, name=found.name, remove=tuple(found.chains), hooks=hooks)


def _leads_to(line: Counted, chains: Collection[str]) -> bool:
    """A jump to a chain of ours that somebody else wrote would keep the chain from being removed."""
    return line.text.rsplit(" ", 1)[-1] in chains


def _same(found: tuple[Counted, ...], wanted: tuple[Rule, ...], owner: Owner) -> bool:
    return len(found) == len(wanted) and all(
        _equal(each.text, rule(other, owner)) for each, other in zip(found, wanted, strict=True)
    )


def _equal(one: str, other: str) -> bool:
    """Whatever was put into quotes."""
    return one == other or split(one) == split(other)
