"""Counters of policies: by whose rule it is, and ever growing."""

from __future__ import annotations

from dataclasses import replace

from birdctl.addresses import Family
from birdctl.netfilter.model import Chain, Effect, Reading, Rule
from birdctl.policies.counters import Counters, counts
from birdctl.policies.model import Direction

ALLOW = Rule(target="RETURN", origins=("NetworkPolicy a/b", "NetworkPolicy a/c"), effect=Effect.ALLOW)
END = Rule(target="BIRDCTL-DENY-IN", goto=True)
CHAIN = Chain(name="BIRDCTL-IN-0123456789abcdef", rules=(ALLOW, END))
OTHER = Chain(name="BIRDCTL-IN-fedcba9876543210", rules=(ALLOW, END))
DENY = Chain(name="BIRDCTL-DENY-IN", rules=(Rule(target="NFLOG"), Rule(target="DROP")))


CHAINS = {"chain": CHAIN, "other": OTHER, "deny": DENY}


def packets(counters, **counts):
    """The counters after a reading: allowed by the policy, refused by none's allowance."""
    readings = [
        Reading(family=Family.IPV4, chain=CHAINS[name], counts=tuple((number, number * 60) for number in numbers))
        for name, numbers in counts.items()
    ]
    counters.add(readings)
    return {(each.policy, each.effect): each.packets for each in counters.totals()}


def test_a_rule_counts_for_each_of_its_policies_and_the_last_of_the_denying_chain_for_nobody():
    counters = Counters()
    assert packets(counters, chain=(5, 1), deny=(1, 2)) == {
        ("NetworkPolicy a/b", Effect.ALLOW): 5,
        ("NetworkPolicy a/c", Effect.ALLOW): 5,
        ("", Effect.DENY): 2,
    }
    assert {each.direction for each in counters.totals()} == {Direction.INGRESS}


def test_differences_add_up_over_chains_that_come_end_and_begin_again():
    counters = Counters()

    def allowed(**counts):
        return packets(counters, **counts)["NetworkPolicy a/b", Effect.ALLOW]

    assert [allowed(chain=(5, 0)), allowed(chain=(7, 0)), allowed(chain=(1, 0))] == [5, 7, 8]
    assert [allowed(chain=(1, 0), other=(3, 0)), allowed(), allowed(chain=(2, 0))] == [11, 11, 12]
    counters.forget(Family.IPV4, [CHAIN.name])
    assert [allowed(), allowed(chain=(9, 0), other=(3, 0))] == [12, 21]


def test_a_chain_of_the_same_name_and_other_rules_has_begun_again():
    counters = Counters()
    packets(counters, deny=(0, 5))
    rules = (Rule(target="NFLOG", options=("--nflog-group", "7")), Rule(target="DROP"))
    counters.add([Reading(family=Family.IPV4, chain=replace(DENY, rules=rules), counts=((0, 0), (8, 480)))])
    assert {each.packets for each in counters.totals()} == {13}


def test_only_chains_whose_rules_are_somebodys_are_worth_reading():
    dispatch = Chain(name="BIRDCTL-IN", rules=(Rule(target="BIRDCTL-IN-0123456789abcdef", goto=True), END))
    entry = Chain(name="BIRDCTL-POLICY", rules=(Rule(target="BIRDCTL-IN"),))
    assert [counts(each) for each in (CHAIN, DENY, dispatch, entry)] == [True, True, False, False]


def test_a_chain_that_is_not_as_it_was_written_is_not_counted():
    assert packets(Counters(), chain=(5, 1, 1)) == {}
