"""From a table to the one transaction that makes it another. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from birdctl.netfilter.iptables_text import Counted, Saved, chain_lines, rule, split
from birdctl.netfilter.model import Chain, Rule, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """What one transaction does: chains made or filled anew, chains removed, and lines about hooks."""

    fill: tuple[Chain, ...] = ()
    remove: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fill or self.remove or self.hooks)

    @property
    def text(self) -> str:
        """For `iptables-restore --noflush`. A chain that is declared is emptied; removed chains go when unused."""
        lines = ["*filter", *(f":{each.name} - [0:0]" for each in self.fill)]
        for each in self.fill:
            lines += chain_lines(each)
        lines += self.hooks
        lines += [f"-F {name}" for name in self.remove]
        lines += [f"-X {name}" for name in self.remove]
        return "\n".join([*lines, "COMMIT", ""])


def since(known: Table, desired: Table, hooks: tuple[str, ...] | None = None) -> TableChange:
    """From what is known to be in the kernel. `hooks` are the lines about hooks if something else is known of them."""
    return TableChange(
        fill=tuple(each for name, each in desired.chains.items() if known.chains.get(name) != each),
        remove=tuple(name for name in known.chains if name not in desired.chains),
        hooks=_rehooked(known, desired) if hooks is None else hooks,
    )


def _rehooked(known: Table, desired: Table) -> tuple[str, ...]:
    if known.hooks == desired.hooks:
        return ()
    return (
        *(f"-D {name} {rule(each)}" for name, each in known.hooks),
        *(f"-I {name} 1 {rule(each)}" for name, each in reversed(desired.hooks)),
    )


def recognised(found: Saved, desired: Table) -> Table:
    """The saved table with chains that are as desired; those that are not stand empty."""
    return Table(
        family=found.family,
        hooks=desired.hooks,
        chains={
            name: desired.chains[name] if _as_desired(name, lines, desired) else Chain(name=name, rules=())
            for name, lines in found.chains.items()
        },
    )


def _as_desired(name: str, lines: tuple[Counted, ...], desired: Table) -> bool:
    return name in desired.chains and _same(lines, desired.chains[name].rules)


def rehook(found: Saved, desired: Table) -> tuple[str, ...]:
    """What puts the hooks first in each of the kernel's chains, and takes them away everywhere else."""
    lines: list[str] = []
    for name, present in found.builtin.items():
        wanted = tuple(each for hook, each in desired.hooks if hook == name)
        ours = tuple(each for each in present if each.ours or _leads_to(each, found.chains))
        if ours != present[: len(ours)] or not _same(ours, wanted):
            lines += [f"-D {name} {each.text}" for each in ours]
            lines += [f"-I {name} 1 {rule(each)}" for each in reversed(wanted)]
    return tuple(lines)


def removal(found: Saved) -> TableChange:
    """Takes away all that is ours."""
    nothing = Table(family=found.family, hooks=(), chains={})
    return TableChange(remove=tuple(found.chains), hooks=rehook(found, nothing))


def _leads_to(line: Counted, chains: Collection[str]) -> bool:
    """A jump to a chain of ours that somebody else wrote would keep the chain from being removed."""
    return line.text.rsplit(" ", 1)[-1] in chains


def _same(found: tuple[Counted, ...], wanted: tuple[Rule, ...]) -> bool:
    return len(found) == len(wanted) and all(
        _equal(each.text, rule(other)) for each, other in zip(found, wanted, strict=True)
    )


def _equal(one: str, other: str) -> bool:
    """Whatever was put into quotes."""
    return one == other or split(one) == split(other)
