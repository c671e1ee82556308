"""BIRD symbols."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.routing.compile.names import symbol
from tests.unit.routing.build import advertisement, bgp_peer, compiled, node

names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "found"),
    [("tor1", "peer_tor1"), ("import", "peer_import"), ("1", "peer_1"), ("10.0.0.1", "peer_10_0_0_1_f5047344")],
)
def test_a_name_stays_readable(name, found):
    assert symbol("peer", name) == found


@given(names)
def test_a_symbol_is_one_for_bird(name):
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", symbol("services", name))


@given(st.sets(names, min_size=2, max_size=20))
def test_different_names_have_different_symbols(found):
    assert len({symbol("peer", name) for name in found}) == len(found)


def test_no_name_of_an_object_can_take_another_ones_symbol():
    objects = [
        bgp_peer(name, f"10.9.0.{i + 1}")
        for i, name in enumerate(("mesh", "in4", "out4-x", "pods4", "kernel4", "import"))
    ]
    advertisements = [advertisement(name) for name in ("default", "web", "web4", "mesh")]
    config = compiled(
        node("a", "10.0.0.1", pods="10.1.0.0/24"),
        node("in4", "10.0.0.2"),
        node("mesh", "10.0.0.3"),
        *objects,
        *advertisements,
    ).config

    symbols = [each.name for each in (*config.sessions, *config.filters, *config.originated)]
    assert len(set(symbols)) == len(symbols)


def test_symbols_do_not_depend_on_what_else_there_is():
    def symbols(*objects):
        config = compiled(node("a", "10.0.0.1", pods="10.1.0.0/24"), *objects).config
        return {each.name for each in (*config.sessions, *config.filters, *config.originated)}

    alone, together = bgp_peer("tor2", "10.9.0.2"), (bgp_peer("tor1", "10.9.0.1"), bgp_peer("tor3", "10.9.0.3"))
    assert symbols(alone) < symbols(alone, *together)
