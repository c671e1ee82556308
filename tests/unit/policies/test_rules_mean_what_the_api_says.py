"""The compiled rules of all nodes give every packet what a direct reading of the API gives it."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.cluster.store import Cluster
from birdctl.policies.compile import side, trie
from birdctl.policies.semantics import judge
from tests.unit.policies import worlds
from tests.unit.policies.network import Network


@pytest.mark.parametrize(("few", "leaf"), [(side.FEW, trie._LEAF), (0, 1), (1, 1)], ids=["few", "many", "deep"])
@settings(max_examples=50, deadline=None)
@given(
    objects=worlds.worlds,
    packets=st.lists(worlds.packets, min_size=10, max_size=40),
    default_deny=st.booleans(),
    action=st.sampled_from(["reject", "drop"]),
)
def test_rules_mean_what_the_api_says(*, objects, packets, default_deny, action, few, leaf):
    """Also where every pod counts as one of many."""
    cluster = Cluster.of(*objects)
    with patch.object(side, "FEW", few), patch.object(trie, "_LEAF", leaf):
        network = Network(cluster, netpol_default_deny=default_deny, netpol_deny_action=action)
    for packet in packets:
        judgement = judge(cluster, packet, default_deny=default_deny, drop=action == "drop")
        verdicts = list(network.verdicts(packet))
        assert all(verdict.allowed for verdict in verdicts) is judgement.allowed, (packet, judgement)
        assert any(verdict.decision == "drop" for verdict in verdicts) is judgement.silent, (packet, judgement)
        counted = sorted(policy for verdict in verdicts for policy in verdict.would_deny)
        assert counted == sorted(judgement.would_deny), (packet, judgement)
