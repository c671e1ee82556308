"""Which term of a filter decides on a route, read from the text that birdctl renders."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.observe.verdicts import Candidate, Filters
from birdctl.routing.model import Attributes, BirdConfig, PrefixSet, Term
from birdctl.routing.render import render
from tests.configs import external_session, mesh_session, node_config, pattern, peer_filters


def node(*terms: Term) -> BirdConfig:
    """One whose export filter for tor1 has these terms."""
    imports, exports = peer_filters("tor1", Family.IPV4)
    own = (imports, replace(exports, terms=terms))
    return node_config(1, (2, 17, 5), external_session("tor1", "10.9.0.9", 65001), filters=own)


def verdict(prefix: str, *terms: Term, protocol: str = "pods4", source: str = "RTS_STATIC") -> tuple[bool | None, str]:
    route = Candidate(prefix=ip_network(prefix), protocol=protocol, source=source)
    found = Filters(render(node(*terms)).text).verdict("peer_tor1", "ipv4", "export", route)
    return found.accepted, found.why


TEN = pattern(ip_network("10.0.0.0/8"), 16, 24)
REJECT_TEN = Term(accept=False, prefixes=(TEN,), comment="pods of others")
PODS = Term(accept=True, protocols=("pods4", "services4"), attributes=Attributes(communities=((65001, 80),), med=5))
LEARNED_TEN = Term(accept=True, sources=("RTS_BGP", "RTS_DEVICE"), prefixes=(TEN,))


@pytest.mark.parametrize(
    ("route", "terms", "accepted", "why"),
    [
        (
            ("10.1.0.0/16", "pods4", "RTS_STATIC"),
            (REJECT_TEN, PODS),
            False,
            "term 1 (pods of others) of filter tor1_out4",
        ),
        (("10.0.0.0/15", "pods4", "RTS_STATIC"), (REJECT_TEN, PODS), True, "term 2 of filter tor1_out4"),
        (("10.1.1.0/25", "pods4", "RTS_STATIC"), (REJECT_TEN, PODS), True, "term 2 of filter tor1_out4"),
        (("11.1.0.0/16", "pods4", "RTS_STATIC"), (REJECT_TEN, PODS), True, "term 2 of filter tor1_out4"),
        (("11.1.0.0/16", "services4", "RTS_STATIC"), (PODS,), True, "term 1 of filter tor1_out4"),
        (("11.1.0.0/16", "services5", "RTS_STATIC"), (PODS,), False, "no term of filter tor1_out4 takes it"),
        (("10.1.0.0/16", "x", "RTS_BGP"), (PODS, LEARNED_TEN), True, "term 2 of filter tor1_out4"),
        (("10.1.0.0/16", "x", "RTS_STATIC"), (PODS, LEARNED_TEN), False, "no term of filter tor1_out4 takes it"),
        (("11.1.0.0/16", "x", "RTS_BGP"), (PODS, LEARNED_TEN), False, "no term of filter tor1_out4 takes it"),
        (("11.1.0.0/16", "pods4", "RTS_STATIC"), (), False, "no term of filter tor1_out4 takes it"),
    ],
)
def test_the_first_term_whose_conditions_all_hold_decides(
    route: tuple[str, str, str], terms: tuple[Term, ...], accepted: bool, why: str
) -> None:
    prefix, protocol, source = route
    assert verdict(prefix, *terms, protocol=protocol, source=source) == (accepted, why)


def test_a_set_that_filters_share_is_looked_up() -> None:
    term = replace(REJECT_TEN, prefix_set="guarded4")
    guarded = PrefixSet(name="guarded4", family=Family.IPV4, patterns=(TEN,), comment="Guarded")
    known = Filters(render(replace(node(term, PODS), prefix_sets=(guarded,))).text)
    route = Candidate(prefix=ip_network("10.1.0.0/16"), protocol="pods4")
    assert known.verdict("peer_tor1", "ipv4", "export", route).why == "term 1 (pods of others) of filter tor1_out4"


def test_what_no_term_takes_meets_the_filter_s_end() -> None:
    known = Filters(render(node_config(1, (2, 17, 5), mesh_session(1, 2))).text)
    route = Candidate(prefix=ip_network("10.9.0.0/16"))
    found = [known.verdict("node_n2", "ipv4", direction, route) for direction in ("import", "export")]
    assert [(each.accepted, each.why) for each in found] == [
        (True, "the end of filter mesh_in4"),
        (False, "no term of filter mesh_out4 takes it"),
    ]


def test_a_pattern_may_begin_above_its_prefix() -> None:
    wide = pattern(ip_network("10.0.0.0/8"), 0, 8)
    assert verdict("0.0.0.0/0", Term(accept=False, prefixes=(wide,)))[0] is False
    assert verdict("128.0.0.0/1", Term(accept=False, prefixes=(wide,)), PODS)[0] is True


def test_families_do_not_match_each_other() -> None:
    everything = pattern(ip_network("0.0.0.0/0"))
    assert verdict("::/0", Term(accept=False, prefixes=(everything,)), PODS)[0] is True


def test_a_text_of_somebody_else_gives_no_verdict() -> None:
    foreign = Filters(
        "filter f {\n  if net.len > 24 then {\n    reject;\n  }\n}\nprotocol bgp p { ipv4 { import filter f; }; }"
    )
    route = Candidate(prefix=ip_network("10.0.0.0/8"))
    assert foreign.verdict("p", "ipv4", "import", route).accepted is None
    assert foreign.verdict("p", "ipv4", "export", route).accepted is None
    assert foreign.verdict("q", "ipv4", "import", route).accepted is None


@pytest.mark.parametrize("family", Family)
def test_every_filter_that_birdctl_renders_is_understood(family: Family) -> None:
    node = node_config(1, (2, 17, 5))
    text = render(node).text + "".join(
        f"protocol bgp s{number} {{ {family.label} {{ import filter {each.name}; }}; }}\n"
        for number, each in enumerate(node.filters)
    )
    known, route = Filters(text), Candidate(prefix=ip_network("10.0.0.0/8"), source="RTS_BGP")
    for number, each in enumerate(node.filters):
        assert known.verdict(f"s{number}", family.label, "import", route).accepted is not None, each
