"""The rules and sets of services in this network namespace, and the connections that they leave behind.

new sets, members that come → one iptables transaction a family → (later) members and sets that go
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from birdctl.addresses import Family
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import iptables_text
from birdctl.netfilter.conntrack import Conntrack, Flow
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.ipset_change import changed_sets, set_changes
from birdctl.netfilter.iptables import IptablesBackend, Mode
from birdctl.netfilter.iptables_change import TableChange, recognised, rehook, since
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.iptables_text import Saved
from birdctl.netfilter.model import BUILTIN, IpSet, Owner, Table, TableName
from birdctl.services.model import Endpoint, Port, Protocol
from birdctl.services.rules import ServiceRules

_Where = tuple[Family, TableName]
_NOTHING = ServiceRules(tables={}, sets={})


class ServiceNetfilter:
    """What services need of iptables, ipset and conntrack; `close` it in the end.

    `mode` None: as the host uses iptables.

    Every method raises Unavailable when the node lacks a program or a part of the kernel, and BackendError when that
    refuses sets, without which no rule can be.
    """

    def __init__(self, mode: Mode | None = None) -> None:
        self._iptables = IptablesBackend(mode or detect(), Owner.SERVICES, tuple(BUILTIN))
        self._ipset = IpsetBackend(Owner.SERVICES)
        self._conntrack = Conntrack()
        self._known = self._desired = _NOTHING
        self._certain = False
        self._alone = False

    def close(self) -> None:
        self._ipset.close()
        self._conntrack.close()

    def read(self) -> ServiceRules:
        """What of ours is in the kernel, whoever wrote it."""
        tables = {
            where: iptables_text.table(saved)
            for where, saved in self._saved(needed=())
            if saved.chains or any(each.owner is Owner.SERVICES for lines in saved.builtin.values() for each in lines)
        }
        return ServiceRules(tables=tables, sets=self._ipset.read())

    def apply(self, desired: ServiceRules, *, verify: bool = False) -> dict[_Where, str]:
        """Makes the rules the desired ones, with sets that hold what they shall, and what they no longer shall.

        Returns the tables that the kernel refused, with its reasons: these stay as they were. `verify` looks first what
        is there, and repairs that; so does the first call, and one after a failure.
        """
        hooks: Mapping[_Where, tuple[str, ...]] = {}
        known = self._known
        if verify or not self._certain:
            known, hooks = self._look(desired)
        self._certain = False
        self._fill(known, desired)
        refused = self._write(known, desired, hooks)
        self._leave_other_mode()
        self._known = ServiceRules(tables=desired.tables, sets=_together(known, desired))
        self._desired = desired
        self._certain = not refused
        return refused

    def settle(self) -> None:
        """Takes away the members and sets that the last `apply` left, for what is still in use until then."""
        going = set_changes(self._known.sets, self._desired.sets)
        errors = self._ipset.delete(going.going) | self._ipset.destroy(going.destroy)
        self._certain = self._certain and not errors
        self._known = self._desired

    def remove(self) -> None:
        """Takes away everything of ours, in both of iptables' modes. Raises BackendError naming sets that stay."""
        self._alone = False
        self.apply(_NOTHING, verify=True)
        self.settle()
        if left := sorted(self._ipset.names()):
            raise BackendError(f"ipset {', '.join(left)}: rules of others use it")

    def forget(self, gone: Mapping[Port, Collection[Endpoint] | None]) -> int:
        """Ends the UDP flows that asked for these ports and went to these endpoints, None: wherever they went.

        A client that goes on sending would otherwise go on to be sent there. Returns how many there were.
        """
        wanted = {(each.address, each.port): ends for each, ends in gone.items() if each.protocol is Protocol.UDP}
        flows = [flow for family in Family for flow in self._asking_for(family, wanted)]
        self._conntrack.delete(flows)
        return len(flows)

    def _asking_for(self, family: Family, wanted: Mapping[Endpoint, Collection[Endpoint] | None]) -> Iterator[Flow]:
        for flow in self._conntrack.asking_for(family, "udp", wanted.keys()):
            ends = wanted[flow.asked, flow.asked_port]
            if ends is None or (flow.destination, flow.port) in ends:
                yield flow

    def _look(self, desired: ServiceRules) -> tuple[ServiceRules, dict[_Where, tuple[str, ...]]]:
        """What is there, and the lines that put hooks right."""
        tables, hooks = {}, {}
        for where, found in self._saved(needed={family for family, _ in desired.tables}):
            table = desired.tables.get(where) or _empty(where)
            tables[where], hooks[where] = recognised(found, table), rehook(found, table)
        return ServiceRules(tables=tables, sets=self._ipset.read()), hooks

    def _saved(self, needed: Collection[Family]) -> Iterator[tuple[_Where, Saved]]:
        """The tables of families that can be read: a node without IPv6 has none of that."""
        for family in Family:
            try:
                found = self._iptables.read(family)
            except BackendError:
                if family in needed:
                    raise
                continue
            yield from (((family, name), each) for name, each in found.items())

    def _fill(self, known: ServiceRules, desired: ServiceRules) -> None:
        coming = set_changes(known.sets, desired.sets)
        errors = self._ipset.create(coming.create) or self._ipset.add(coming.coming)
        for name, reason in errors.items():
            raise BackendError(f"ipset {name}: {reason}")

    def _write(
        self, known: ServiceRules, desired: ServiceRules, hooks: Mapping[_Where, tuple[str, ...]]
    ) -> dict[_Where, str]:
        refused: dict[_Where, str] = {}
        for family in Family:
            changes = list(_changes(family, known, desired, hooks))
            try:
                self._send(family, changes)
            except Unavailable:
                raise
            except BackendError:
                refused |= self._one_by_one(family, desired)
        return refused

    def _one_by_one(self, family: Family, desired: ServiceRules) -> dict[_Where, str]:
        """Each table of its own, whatever was done to them before."""
        known, hooks = self._look(desired)
        refused: dict[_Where, str] = {}
        for change in _changes(family, known, desired, hooks):
            try:
                self._send(family, [change])
            except Unavailable:
                raise
            except BackendError as error:
                refused[family, change.name] = str(error)
        return refused

    def _send(self, family: Family, changes: Iterable[TableChange]) -> None:
        if found := [change for change in changes if change]:
            self._iptables.write(family, *found)

    def _leave_other_mode(self) -> None:
        """Once: rules of ours in the mode that the host used before would still be enforced."""
        if not self._alone:
            self._iptables.leave_other_mode()
            self._alone = True


def _changes(
    family: Family, known: ServiceRules, desired: ServiceRules, hooks: Mapping[_Where, tuple[str, ...]]
) -> Iterator[TableChange]:
    for name in BUILTIN:
        where = (family, name)
        if where in known.tables or where in desired.tables:
            before, after = (each.tables.get(where) or _empty(where) for each in (known, desired))
            yield since(before, after, hooks.get(where))


def _together(known: ServiceRules, desired: ServiceRules) -> dict[str, IpSet]:
    """The sets as `apply` leaves them."""
    grown = {
        new.name: replace(new, entries=old.entries | new.entries) for old, new in changed_sets(known.sets, desired.sets)
    }
    return {**known.sets, **desired.sets, **grown}


def _empty(where: _Where) -> Table:
    family, name = where
    return Table(owner=Owner.SERVICES, family=family, name=name, hooks=(), chains={})
