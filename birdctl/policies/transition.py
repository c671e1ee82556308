"""The way from one state to the next on which no packet meets a mixture of both. Pure.

A set's members change in place, one by one, rules in one transaction. That is enough while a pod changes in one
respect: as a peer of others (sets), or as one that policies select (rules). A pod that changes in both at once would
meet old rules with new sets, or the other way round; its sets are therefore switched by the same transaction as its
rules, through copies under other names that live until the next transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from birdctl.addresses import Address, Prefix
from birdctl.netfilter.ipset_change import changed_sets
from birdctl.netfilter.model import Chain, Entry, IpSet, Net, Port, Rule, Table
from birdctl.policies.compile.names import another_name
from birdctl.policies.model import PolicyState

_COPY = "~"


def stages(known: PolicyState, desired: PolicyState, gone: Collection[Address]) -> Iterator[PolicyState]:
    """The states to write one after the other, the desired one last. `gone`: addresses that no pod has any more."""
    changed = list(changed_sets(known.sets, desired.sets))
    if changed and (moving := _told_otherwise(known, desired).difference(gone)):
        torn = [new for old, new in changed if not moving.isdisjoint(map(_address, old.entries ^ new.entries))]
        if torn:
            yield from _by_copies(known, desired, torn)
    yield desired


def _by_copies(known: PolicyState, desired: PolicyState, torn: Collection[IpSet]) -> Iterator[PolicyState]:
    """The desired state with rules that use copies of the sets: first with the sets as they were, then as desired."""
    names = {each.name: another_name(each.name, _COPY) for each in torn}
    copies = {names[each.name]: replace(each, name=names[each.name]) for each in torn}
    tables = {family: renamed(table, names) for family, table in desired.tables.items()}
    before = {each.name: known.sets[each.name] for each in torn}
    yield PolicyState(tables=tables, sets={**desired.sets, **before, **copies})
    yield PolicyState(tables=tables, sets={**desired.sets, **copies})


def renamed(table: Table, names: Mapping[str, str]) -> Table:
    """With other names for the sets that its rules use."""
    return replace(table, chains={name: _renamed_in(chain, names) for name, chain in table.chains.items()})


def _renamed_in(chain: Chain, names: Mapping[str, str]) -> Chain:
    if not any(match.name in names for rule in chain.rules for match in rule.sets):
        return chain
    return replace(chain, rules=tuple(_renamed_rule(rule, names) for rule in chain.rules))


def _renamed_rule(rule: Rule, names: Mapping[str, str]) -> Rule:
    return replace(rule, sets=tuple(replace(match, name=names.get(match.name, match.name)) for match in rule.sets))


def touched(known: PolicyState, desired: PolicyState) -> frozenset[Address]:
    """Addresses whose connections may be judged otherwise: of pods that come or go in sets or in rules."""
    peers = (entry for old, new in changed_sets(known.sets, desired.sets) for entry in old.entries ^ new.entries)
    return _told_otherwise(known, desired).union(filter(None, map(_address, peers)))


def _told_otherwise(known: PolicyState, desired: PolicyState) -> frozenset[Address]:
    """The addresses that stand in different rules now, themselves or through a set that is their content's."""
    before, after = _tellings(known, desired), _tellings(desired, known)
    return frozenset(address for address, _ in before ^ after)


def _tellings(state: PolicyState, other: PolicyState) -> set[tuple[Address, Rule]]:
    """Addresses with the rules about them, of chains that the other state has not."""
    return {
        telling
        for family, table in state.tables.items()
        for name, chain in table.chains.items()
        if family not in other.tables or other.tables[family].chains.get(name) != chain
        for rule in chain.rules
        for telling in _about(rule, state.sets, other.sets)
    }


def _about(rule: Rule, sets: Mapping[str, IpSet], others: Mapping[str, IpSet]) -> Iterator[tuple[Address, Rule]]:
    """The hosts that a rule which decides names; sets that both states have say who the peer is."""
    if rule.target == "NFLOG":
        return
    for prefix in (rule.source, rule.destination):
        if prefix is not None and (address := _host(prefix)):
            yield address, rule
    for match in rule.sets:
        if match.name not in others or rule.goto:
            plain = replace(rule, sets=tuple(each for each in rule.sets if each != match))
            yield from ((address, plain) for each in sets[match.name].entries if (address := _address(each)))


def _host(prefix: Prefix) -> Address | None:
    return prefix.network_address if prefix.prefixlen == prefix.max_prefixlen else None


def _address(entry: Entry) -> Address | None:
    match entry:
        case Net():
            return None
        case Port():
            return entry.address
        case _:
            return entry
