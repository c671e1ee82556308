"""The only way to change the kernel's policies: in an order in which every step is the old or the new policy.

    new sets, filled → members that come → one iptables transaction a family → members that go → sets that nobody uses

Whoever is killed in between leaves rubbish that the next start removes. Connections that are forbidden now are cut
afterwards: only that needs a look at all connections, so it may wait for further changes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from birdctl.addresses import Address, Family
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import iptables_text
from birdctl.netfilter.conntrack import Conntrack
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.ipset_change import set_changes
from birdctl.netfilter.iptables import IptablesBackend, Mode
from birdctl.netfilter.iptables_change import TableChange, recognised, rehook, since
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.iptables_text import Saved
from birdctl.netfilter.model import Owner, Table
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.policies import cutting
from birdctl.policies.closing import Closed, Refused, close
from birdctl.policies.counters import Counter, Counters, counts
from birdctl.policies.model import PolicyState
from birdctl.policies.transition import stages, touched


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What was done in `seconds`.

    `touched` are the addresses whose connections have to be judged anew, None for all. `refused` says why the kernel
    did not take something, by policy ("" is nobody's): as far as that concerns them, the pods of these are closed.
    """

    seconds: float
    touched: frozenset[Address] | None
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is in the kernel. `hooks` are the lines that put hooks right, where they have to be."""

    state: PolicyState
    hooks: Mapping[Family, tuple[str, ...]] = field(default_factory=dict)


class PolicyBackend:
    """The policies of this network namespace; `close` it in the end. `mode` None: as the host uses iptables.

    Every method raises Unavailable when the node lacks a program or a part of the kernel, and BackendError when that
    refuses something without which there are no policies; what was in force before still is.
    """

    def __init__(self, mode: Mode | None = None) -> None:
        self._iptables = IptablesBackend(mode or detect(), Owner.POLICIES)
        self._ipset = IpsetBackend(Owner.POLICIES)
        self._conntrack = Conntrack()
        self._routing = RouteNetlink("addresses")
        self._counters = Counters()
        self._known: PolicyState | None = None
        self._refused = Refused()
        self._alone = False

    @property
    def mode(self) -> Mode:
        return self._iptables.mode

    def close(self) -> None:
        self._ipset.close()
        self._conntrack.close()
        self._routing.close()

    def read(self) -> PolicyState:
        """What of ours is in the kernel, whoever wrote it."""
        saved = {family: self._iptables.read(family)["filter"] for family in Family}
        tables = {family: iptables_text.table(each) for family, each in saved.items()}
        return PolicyState(tables=tables, sets=self._ipset.read())

    def apply(self, desired: PolicyState, *, gone: Collection[Address] = (), verify: bool = False) -> ApplyResult:
        """Makes the kernel's policies the desired ones. `gone` are addresses that no pod has any more.

        `verify` looks first what is in the kernel, and repairs that; so does the first call, and one after a failure.
        """
        started = time.perf_counter()
        if verify or self._known is None:
            self._refused = Refused()
            self._known = None
        known = self._known
        closed = self._bring_about(desired, gone)
        if known is None and self._refused.sets:
            self._refused = replace(self._refused, sets={})  # our former rules held them, and are gone
            closed = self._bring_about(desired, gone)
        self._leave_other_mode()
        return ApplyResult(
            seconds=time.perf_counter() - started,
            touched=touched(known, closed.state) if known else None,
            refused=closed.reasons,
        )

    def remove(self) -> None:
        """Takes away everything of ours, in both of iptables' modes."""
        self.apply(PolicyState(tables={}, sets={}), verify=True)

    def cut(self, addresses: Collection[Address] | None, gone: Collection[Address] = ()) -> int:
        """Ends connections of `addresses` (None: all) that the applied policies forbid, and all of `gone` ones.

        Returns how many.
        """
        if self._known is None:
            return 0
        local = frozenset(each.address for each in self._routing.addresses())
        return cutting.cut(self._conntrack, self._ipset, self._known, addresses, gone, local=local)

    def counters(self) -> tuple[Counter, ...]:
        """What passed the rules of the applied policies since this backend began; it never goes down."""
        tables = self._known.tables.values() if self._known else ()
        self._counters.add([reading for table in tables for reading in self._iptables.counts(table)])
        return self._counters.totals()

    def _bring_about(self, desired: PolicyState, gone: Collection[Address]) -> Closed:
        """The desired state, closed where the kernel refuses a part of it: more of it each time, or not at all."""
        closed = close(desired, self._refused)
        while newly := self._advance(closed.state, gone):
            before, self._refused = self._refused, self._refused | newly
            if self._refused == before:
                reasons = sorted({*newly.sets.values(), *newly.rules.values()})
                raise BackendError(f"the kernel refuses what is to close policies: {'; '.join(reasons)}")
            closed = close(desired, self._refused)
        return closed

    def _advance(self, target: PolicyState, gone: Collection[Address]) -> Refused:
        """To `target`, or to the first step that the kernel refuses something of: then that is returned."""
        seen = self._look(target) if self._known is None else _Seen(state=self._known)
        self._known = None
        for stage in stages(seen.state, target, gone):
            if refused := self._write(seen, stage):
                return refused
            seen = _Seen(state=stage)
        self._known = target
        return Refused()

    def _look(self, desired: PolicyState) -> _Seen:
        tables, hooks = {}, {}
        for family in Family:
            table = desired.tables.get(family, _empty(family))
            if found := self._saved(family, needed=bool(table.chains)):
                tables[family] = recognised(found, table)
                hooks[family] = rehook(found, table)
        return _Seen(state=PolicyState(tables=tables, sets=self._ipset.read()), hooks=hooks)

    def _saved(self, family: Family, *, needed: bool) -> Saved | None:
        """The table; None when it cannot be read and need not be: a node without IPv6."""
        try:
            return self._iptables.read(family)["filter"]
        except BackendError:
            if needed:
                raise
            return None

    def _write(self, seen: _Seen, target: PolicyState) -> Refused:
        changes = set_changes(seen.state.sets, target.sets)
        refused = self._ipset.create(changes.create) or self._ipset.add(changes.coming)
        if refused:
            return Refused(sets=refused)
        for family, known in seen.state.tables.items():
            change = since(known, target.tables.get(family, _empty(family)), seen.hooks.get(family))
            if change and (rules := self._write_table(known, change)):
                return rules
        refused = self._ipset.delete(changes.going)
        self._ipset.destroy(changes.destroy)
        return Refused(sets=refused)

    def _write_table(self, known: Table, change: TableChange) -> Refused:
        """Raises what iptables answered when no rule of its own is to blame."""
        ending = {each.name for each in change.fill}.union(change.remove)
        self._count(known, ending)
        try:
            self._iptables.write(known.family, change)
        except Unavailable:
            raise
        except BackendError:
            rules = dict.fromkeys(rule for chain in change.fill for rule in chain.rules)
            refused = self._iptables.refused(known.family, tuple(rules))
            if not refused:
                raise
            return Refused(rules=refused)
        self._counters.forget(known.family, ending)
        return Refused()

    def _count(self, known: Table, ending: Collection[str]) -> None:
        """What cannot be read is lost."""
        names = [name for name in ending if name in known.chains and counts(known.chains[name])]
        with suppress(BackendError):
            self._counters.add(self._iptables.counts_of(known, names))

    def _leave_other_mode(self) -> None:
        """Once: rules of ours in the mode that the host used before would still be enforced."""
        if self._alone:
            return
        self._iptables.leave_other_mode()
        self._alone = True


def _empty(family: Family) -> Table:
    return Table(owner=Owner.POLICIES, family=family, hooks=(), chains={})
