"""Counters of policies: by whose rule it is, and ever growing."""

from __future__ import annotations

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Effect, Rule
from birdctl.policies.counters import Counters, Reading
from birdctl.policies.model import Direction

ALLOW = Rule(target="RETURN", policies=("NetworkPolicy a/b", "NetworkPolicy a/c"), effect=Effect.ALLOW)
END = Rule(target="BIRDCTL-DENY-IN", goto=True)
CHAIN = Chain(name="BIRDCTL-IN-0123456789abcdef", rules=(ALLOW, END))
OTHER = Chain(name="BIRDCTL-IN-fedcba9876543210", rules=(ALLOW, END))
DENY = Chain(name="BIRDCTL-DENY-IN", rules=(Rule(target="NFLOG"), Rule(target="DROP")))


def packets(counters, **counts):
    """The counters after a reading: allowed by the policy, refused by none's allowance."""
    chains = {"chain": CHAIN, "other": OTHER, "deny": DENY}
    readings = [
        Reading(family=Family.IPV4, chain=chains[name], counts=tuple((number, number * 60) for number in numbers))
        for name, numbers in counts.items()
    ]
    return {(each.policy, each.effect): each.packets for each in counters.update(readings)}


def test_a_rule_counts_for_the_first_of_its_policies_and_the_last_of_the_denying_chain_for_nobody():
    counters = Counters()
    assert packets(counters, chain=(5, 1), deny=(1, 2)) == {
        ("NetworkPolicy a/b", Effect.ALLOW): 5,
        ("", Effect.DENY): 2,
    }
    assert {each.direction for each in counters.update([])} == {Direction.INGRESS}


def test_differences_add_up_over_chains_that_are_filled_anew_moved_or_removed():
    counters = Counters()
    seen = [
        packets(counters, chain=(5, 0)),
        packets(counters, chain=(7, 0)),
        packets(counters, chain=(1, 0)),
        packets(counters, chain=(1, 0), other=(3, 0)),
        packets(counters),
        packets(counters, chain=(2, 0)),
    ]
    assert [each["NetworkPolicy a/b", Effect.ALLOW] for each in seen] == [5, 7, 8, 11, 11, 13]


def test_a_chain_that_is_not_as_it_was_written_is_not_counted():
    assert packets(Counters(), chain=(5, 1, 1)) == {}
