"""From a saved table to the one transaction that makes it the desired one. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from birdctl.policies.iptables_text import Counted, Saved, chain_lines, rule, split
from birdctl.policies.model import Chain, Rule, Table


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


def since(known: Table, desired: Table) -> TableChange:
    """From a table that is in the kernel as `known`."""
    return TableChange(
        fill=tuple(each for name, each in desired.chains.items() if known.chains.get(name) != each),
        remove=tuple(name for name in known.chains if name not in desired.chains),
    )


def repair(found: Saved, desired: Table) -> TableChange:
    """From whatever the kernel has; what is right stays and keeps its counters."""
    return TableChange(
        fill=tuple(each for name, each in desired.chains.items() if not _same(found.chains.get(name), each.rules)),
        remove=tuple(name for name in found.chains if name not in desired.chains),
        hooks=tuple(_hooks(found, desired)),
    )


def removal(found: Saved) -> TableChange:
    """Takes away all of ours."""
    return repair(found, Table(family=found.family, hooks=(), chains={}))


def _hooks(found: Saved, desired: Table) -> list[str]:
    """Ours first in each of the kernel's chains, and nowhere else."""
    lines = []
    for name, present in found.builtin.items():
        wanted = tuple(each for hook, each in desired.hooks if hook == name)
        ours = tuple(each for each in present if each.ours or _leads_to(each, found.chains))
        if ours != present[: len(ours)] or not _same(ours, wanted):
            lines += [f"-D {name} {each.text}" for each in ours]
            lines += [f"-I {name} 1 {rule(each)}" for each in reversed(wanted)]
    return lines


def _leads_to(line: Counted, chains: Collection[str]) -> bool:
    """A jump to a chain of ours that somebody else wrote would keep the chain from being removed."""
    return line.text.rsplit(" ", 1)[-1] in chains


def _same(found: tuple[Counted, ...] | None, wanted: tuple[Rule, ...]) -> bool:
    return (
        found is not None
        and len(found) == len(wanted)
        and all(_equal(each.text, rule(other)) for each, other in zip(found, wanted, strict=True))
    )


def _equal(one: str, other: str) -> bool:
    """Whatever was put into quotes."""
    return one == other or split(one) == split(other)
