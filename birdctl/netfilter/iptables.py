"""An owner's tables in this network namespace, through the iptables programs of the mode that the host uses.

Reading is `iptables-save -c`, a change one `iptables-restore --noflush`: one transaction a family, and nothing in it
names a chain or rule of somebody else.
"""

from __future__ import annotations

import enum
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from birdctl.addresses import Family
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import iptables_text, nft
from birdctl.netfilter.iptables_change import TableChange, removal
from birdctl.netfilter.iptables_text import Saved
from birdctl.netfilter.model import Chain, Counts, Owner, Reading, Rule, Table, TableName

IPTABLES = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_LEGACY_TABLES = Path("/proc/thread-self/net")
_LOCK_SECONDS = "10"
_TIMEOUT = 30.0
_TITLE = re.compile(r"\(nf_tables\):\s*$")
_REFUSED_LINE = re.compile(r"line:? (\d+)")


class Mode(enum.StrEnum):
    """Which of the kernel's two packet filters iptables' programs write to."""

    NFT = "nft"
    LEGACY = "legacy"

    @property
    def other(self) -> Mode:
        return Mode.LEGACY if self is Mode.NFT else Mode.NFT


class IptablesBackend:
    """What is the owner's in `tables` of one mode."""

    def __init__(self, mode: Mode, owner: Owner, tables: Sequence[TableName] = ("filter",)) -> None:
        self.mode = mode
        self._owner = owner
        self._tables = tables

    def read(self, family: Family) -> dict[TableName, Saved]:
        """Our chains and all hooks, with counters. Raises Unavailable when the program is not there."""
        text = self.text(family)
        return {name: iptables_text.saved(text, self._owner, family, name) for name in self._tables}

    def text(self, family: Family) -> str:
        """All tables, whoever's, as `iptables-save -c` prints them."""
        return save(self.mode, family, "-c")

    def write(self, family: Family, *changes: TableChange) -> None:
        """Of each table all or nothing. Raises BackendError with what iptables answered."""
        self.restore(family, "".join(change.text for change in changes))

    def restore(self, family: Family, text: str) -> None:
        run([self._program(family, "restore"), "--noflush", "-w", _LOCK_SECONDS], text)

    def counts(self, table: Table) -> Iterator[Reading]:
        """Packets and bytes of the chains of `table`, as they are in the kernel.

        In legacy mode python-iptables reads them from the kernel directly. It knows nothing of nft.
        """
        if not table.chains:
            return iter(())
        if self.mode is Mode.LEGACY:
            return _readings(table, _counts_legacy(table.family, table.name, table.chains))
        return _readings(table, _counts_saved(self.read(table.family)[table.name]))

    def counts_of(self, table: Table, names: Collection[str]) -> Iterator[Reading]:
        """Of these chains alone, which is cheap enough for every change."""
        if not names:
            return iter(())
        read = _counts_legacy if self.mode is Mode.LEGACY else nft.read
        return _readings(table, read(table.family, table.name, names))

    def leave_other_mode(self) -> None:
        """Removes what of ours is in the mode that the host does not use."""
        other = IptablesBackend(self.mode.other, self._owner, self._tables)
        if not shutil.which(other._program(Family.IPV4, "save")):
            return
        for family in Family:
            other.clear(family)

    def clear(self, family: Family) -> None:
        """Removes all that is ours."""
        changes = [change for found in self.read(family).values() if (change := removal(found))]
        if changes:
            self.write(family, *changes)

    def refused(self, family: Family, rules: Sequence[Rule], table: TableName = "filter") -> dict[Rule, str]:
        """Those of the rules that this kernel refuses, with its answers: tried out in a chain that nothing uses."""
        reason = self._try(family, rules, table)
        if not rules or reason is None:
            return {}
        if len(rules) == 1:
            return {rules[0]: reason}
        half = len(rules) // 2
        return self.refused(family, rules[:half], table) | self.refused(family, rules[half:], table)

    def _try(self, family: Family, rules: Sequence[Rule], table: TableName) -> str | None:
        """Why the kernel refuses one of them; chains they lead to are not there."""
        ours = self._owner.chain_prefix
        harmless = (replace(rule, target="RETURN") if rule.target.startswith(ours) else rule for rule in rules)
        trial = Chain(name=f"{ours}TRIAL", rules=tuple(replace(rule, goto=False) for rule in harmless))
        nothing = TableChange(owner=self._owner, name=table)
        try:
            self.write(family, replace(nothing, fill=(trial,)))
        except Unavailable:
            raise
        except BackendError as error:
            return str(error)
        self.write(family, replace(nothing, remove=(trial.name,)))
        return None

    def _program(self, family: Family, verb: str) -> str:
        return f"{IPTABLES[family]}-{self.mode}-{verb}"


def _readings(table: Table, found: Iterable[tuple[str, Counts]]) -> Iterator[Reading]:
    return (
        Reading(family=table.family, chain=table.chains[name], counts=counts)
        for name, counts in found
        if name in table.chains
    )


def _counts_saved(saved: Saved) -> Iterator[tuple[str, Counts]]:
    return ((name, tuple((each.packets, each.bytes) for each in lines)) for name, lines in saved.chains.items())


def _counts_legacy(family: Family, table: TableName, names: Collection[str]) -> Iterator[tuple[str, Counts]]:
    """Rules are read as they lie in memory: python-iptables' own Rule objects cost a hundred times as much.

    Raises BackendError while somebody else changes the table.
    """
    import iptc  # noqa: PLC0415 (loads iptables' libraries, which only this needs)

    kernel = (iptc.Table if family is Family.IPV4 else iptc.Table6)(table)
    try:
        kernel.refresh()
    except iptc.IPTCError as error:
        raise BackendError(f"the counters of iptables cannot be read: {error}") from None
    for name in names:
        counts = []
        entry = kernel.first_rule(name)
        while entry:
            counts.append((entry.counters.pcnt, entry.counters.bcnt))
            entry = kernel.next_rule(entry)
        yield name, tuple(counts)


def save(mode: Mode, family: Family, *options: str) -> str:
    """What iptables-save prints; nothing, without starting it, where the kernel has no tables. Raises as `run`."""
    return run([f"{IPTABLES[family]}-{mode}-save", *options]) if _has_tables(mode, family) else ""


def _has_tables(mode: Mode, family: Family) -> bool:
    if mode is Mode.NFT:
        return nft.has_tables()
    names = _LEGACY_TABLES / f"{'ip' if family is Family.IPV4 else 'ip6'}_tables_names"
    return names.exists() and bool(names.read_bytes())


def run(command: Sequence[str], text: str = "") -> str:
    """What one of iptables' programs prints. Raises Unavailable when it is not there, BackendError with its answer."""
    try:
        done = subprocess.run(  # noqa: S603 (fixed programs)
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not there: install iptables") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} takes longer than {_TIMEOUT:g} s") from None
    if done.returncode:
        raise BackendError(f"{command[0]}: {_answer(done.stderr, text)}")
    return done.stdout


def _answer(answer: str, text: str) -> str:
    """The first line it said, with the line of ours that it is about."""
    said = next((line for line in answer.splitlines() if line.strip() and not _TITLE.search(line)), "refused").strip()
    lines = text.splitlines()
    number = int(match[1]) if (match := _REFUSED_LINE.search(answer)) else 0
    return f"{said} ({lines[number - 1]})" if 0 < number <= len(lines) else said
