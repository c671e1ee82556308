"""A change costs its own part, and gives what compiling everything afresh gives."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.cluster.decode import rejected
from birdctl.cluster.events import Changed, Deleted
from birdctl.cluster.objects import NetworkPolicy
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from tests.unit.policies import worlds

OPTIONS = PolicyOptions(netpol_default_deny=True)
DIGEST = re.compile(r"-[0-9a-f]{16}$")
UNREADABLE = ({"podSelector": {"matchLabels": {"app": "x"}}, "ingress": 1}, {"podSelector": 1}, 1)
ERROR = InputError("NetworkPolicy red/p", "spec", "is not readable")


def of(compiled):
    """All of it; errors compare by what they say."""
    return compiled.state, compiled.policies, [str(problem) for problem in compiled.problems]


def afresh(cluster):
    return of(PolicyCompiler("n1", OPTIONS).compile(cluster))


steps = st.one_of(
    worlds.objects.map(lambda item: [Changed(item)]),
    worlds.objects.map(lambda item: [Deleted(type(item), item.key)]),
    st.sampled_from(UNREADABLE).map(lambda spec: [rejected(NetworkPolicy, "red/p", {"spec": spec}, ERROR)]),
    worlds.worlds.map(lambda items: [Changed(item) for item in items]),
)


@settings(max_examples=150, deadline=None)
@given(histories=st.lists(steps, min_size=1, max_size=12))
def test_changes_one_by_one_give_what_everything_at_once_gives(histories):
    cluster = Cluster()
    compiler = PolicyCompiler("n1", OPTIONS)
    compiler.compile(cluster)
    for history in histories:
        for event in history:
            cluster.apply(event)
        assert of(compiler.compile(cluster, dirty=cluster.take_dirty())) == afresh(cluster)


@settings(max_examples=50, deadline=None)
@given(items=worlds.worlds, random=st.randoms())
def test_the_order_of_the_objects_does_not_matter(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assert afresh(Cluster.of(*items)) == afresh(Cluster.of(*shuffled))


@settings(max_examples=100, deadline=None)
@given(histories=st.lists(steps, min_size=2, max_size=8))
def test_what_has_a_digest_in_its_name_never_changes_but_for_the_pods_a_selector_finds(histories):
    cluster = Cluster()
    compiler = PolicyCompiler("n1", OPTIONS)
    chains, sets, meanings = {}, {}, {}
    for history in histories:
        for event in history:
            cluster.apply(event)
        state = compiler.compile(cluster, dirty=cluster.take_dirty()).state
        for family, table in state.tables.items():
            for name, chain in table.chains.items():
                if DIGEST.search(name):
                    assert chains.setdefault((family, name), chain) == chain
        for name, ipset in state.sets.items():
            assert meanings.setdefault(name, (ipset.type, ipset.family)) == (ipset.type, ipset.family)
            if name.startswith(("birdctl-pods", "birdctl-ports", "birdctl-nodes")):
                assert meanings.setdefault((name, "meaning"), ipset.meaning) == ipset.meaning
            else:
                assert sets.setdefault(name, ipset.entries) == ipset.entries


@settings(max_examples=100, deadline=None)
@given(items=worlds.worlds)
def test_every_set_and_chain_that_is_used_is_there_and_no_other(items):
    state = PolicyCompiler("n1", OPTIONS).compile(Cluster.of(*items)).state
    used = set()
    for table in state.tables.values():
        rules = [rule for chain in table.chains.values() for rule in chain.rules]
        used |= {match.name for rule in rules for match in rule.sets}
        targets = {rule.target for rule in [*rules, *(rule for _, rule in table.hooks)]}
        assert {target for target in targets if target.startswith("BIRDCTL-")} == table.chains.keys()
        assert all(chain.rules for chain in table.chains.values())
    assert used == state.sets.keys()
