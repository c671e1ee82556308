"""The way between two states: what changes in place, what by copies, and whose connections it concerns."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from birdctl.addresses import Family
from birdctl.netfilter.ipset_change import set_changes
from birdctl.netfilter.model import Chain, IpSet, Owner, Rule, SetMatch, SetType, Table
from birdctl.policies.model import PolicyState
from birdctl.policies.transition import stages, touched

A, B, C = (ip_address(f"10.0.0.{number}") for number in (1, 2, 3))
PEERS = "birdctl-pods4-0123456789abcdef"


def state(subject, *peers):
    """A rule about the pod `subject` and the set of its peers."""
    rule = Rule(target="RETURN", destination=ip_network(subject), sets=(SetMatch(name=PEERS, directions="src"),))
    chain = Chain(name="BIRDCTL-IN", rules=(rule, Rule(target="DROP")))
    table = Table(owner=Owner.POLICIES, family=Family.IPV4, hooks=(), chains={chain.name: chain})
    members = IpSet(name=PEERS, type=SetType.IP, family=Family.IPV4, entries=frozenset(peers))
    return PolicyState(tables={Family.IPV4: table}, sets={PEERS: members})


def used(step):
    """The set that rules use, and its members."""
    name = step.tables[Family.IPV4].chains["BIRDCTL-IN"].rules[0].sets[0].name
    return name, step.sets[name].entries


def test_members_of_a_set_change_in_place():
    before, after = state(A, B), state(A, B, C)
    assert list(stages(before, after, ())) == [after]
    changes = set_changes(before.sets, after.sets)
    assert (changes.create, changes.destroy) == ((), ())
    assert [each.entries for each in (*changes.coming, *changes.going)] == [{C}, frozenset()]


def test_a_pod_that_changes_as_peer_and_in_rules_switches_by_copies():
    before, after = state(A, A, B), state(C, B)
    first, second, last = stages(before, after, ())
    copy, members = used(first)
    assert copy != PEERS
    assert members == {B}
    assert first.sets[PEERS].entries == {A, B}
    assert used(second) == used(first)
    assert second.sets[PEERS].entries == {B}
    assert last == after


def test_a_pod_that_is_gone_needs_no_copies():
    before, after = state(A, A, B), state(C, B)
    assert list(stages(before, after, {A})) == [after]


def test_a_set_of_the_same_name_and_another_kind_is_made_again():
    before, after = state(A), state(A, B)
    other = IpSet(name=PEERS, type=SetType.NET, family=Family.IPV4, entries=frozenset())
    changes = set_changes({PEERS: other}, after.sets)
    assert changes.create == (after.sets[PEERS],)
    assert changes.coming == ()
    assert before.sets.keys() == {PEERS}


def test_connections_are_judged_again_of_those_that_changed_alone():
    assert touched(state(A, B), state(A, B)) == frozenset()
    assert touched(state(A, B), state(A, C)) == {B, C}
    assert touched(state(A, B), state(C, B)) == {A, C}
