"""The only way to change the kernel's policies: in an order in which every step is the old or the new policy.

    new sets, filled → members that come → one iptables transaction a family → members that go → sets that nobody uses

Whoever is killed in between leaves rubbish that the next start removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.policies import iptables_change, iptables_text
from birdctl.policies.ipset import IpsetBackend, Membership
from birdctl.policies.iptables import IptablesBackend, Mode
from birdctl.policies.iptables_change import TableChange
from birdctl.policies.model import IpSet, PolicyState, Table

_NOTHING = PolicyState(tables={}, sets={})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What was written: sets made and removed, members that came or went, and chains filled or removed."""

    sets: int = 0
    members: int = 0
    chains: int = 0


class PolicyBackend:
    """The policies of this network namespace. `mode` None: as the host uses iptables."""

    def __init__(self, mode: Mode = Mode.NFT) -> None:
        self._ipset = IpsetBackend()
        self._iptables = IptablesBackend(mode)
        self._known: PolicyState | None = None

    def close(self) -> None:
        self._ipset.close()

    def read(self) -> PolicyState:
        """What of ours is in the kernel."""
        saved = {family: self._iptables.read(family) for family in Family}
        tables = {family: iptables_text.table(each) for family, each in saved.items() if each.chains}
        return PolicyState(tables=tables, sets=self._ipset.read())

    def apply(self, desired: PolicyState, *, verify: bool = False) -> ApplyResult:
        """Makes the kernel's policies the desired ones. `verify`: looks first what is there, as the first time."""
        if verify or self._known is None:
            sets = self._ipset.read()
            changes = {
                family: iptables_change.repair(self._iptables.read(family), table)
                for family, table in desired.tables.items()
            }
        else:
            sets = dict(self._known.sets)
            changes = {
                family: iptables_change.since(self._known.tables[family], table)
                for family, table in desired.tables.items()
            }
        self._known = None
        result = self._write(sets, changes, desired)
        self._known = desired
        return result

    def _write(
        self, sets: Mapping[str, IpSet], changes: Mapping[Family, TableChange], desired: PolicyState
    ) -> ApplyResult:
        new = [each for name, each in desired.sets.items() if name not in sets]
        kept = [(sets[name], each) for name, each in desired.sets.items() if name in sets and sets[name] is not each]
        coming = [Membership(name=new.name, entries=new.entries - old.entries) for old, new in kept]
        going = [Membership(name=new.name, entries=old.entries - new.entries) for old, new in kept]
        _check(self._ipset.create(new))
        _check(self._ipset.add(coming))
        for family, change in changes.items():
            if change:
                self._iptables.write(family, change)
        _check(self._ipset.delete(going))
        unused = [name for name in sets if name not in desired.sets]
        _check(self._ipset.destroy(unused))
        return ApplyResult(
            sets=len(new) + len(unused),
            members=sum(len(each.entries) for each in (*coming, *going)),
            chains=sum(len(each.fill) + len(each.remove) for each in changes.values()),
        )


def _check(errors: Mapping[str, str]) -> None:
    for name, reason in errors.items():
        raise BackendError(f"ipset {name}: {reason}")
