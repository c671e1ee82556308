"""Reading bird.conf's outermost statements."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from birdctl.routing.statements import sections

STATEMENTS = st.sampled_from(
    [
        "router id 192.0.2.1;\n",
        "# { not a block; }\n",
        "define NETS = [ 192.0.2.0/24{24,32} ];\n",
        'protocol bgp a {\n  description "} ; {";\n  ipv4 { import all; };\n}\n',
        "protocol bgp b {\n  hold time 9;\n}\n",
        "protocol static s4 { ipv4; route 192.0.2.1/32 blackhole; route 192.0.2.2/32 blackhole; }\n",
        *("}", "{", ";", "x", "a;", "b;"),
    ]
)
TEXTS = st.lists(STATEMENTS, max_size=8).map("".join)


def _read_afresh(text: str) -> dict[str, str] | str:
    sections(";")
    return _read(text)


def _read(text: str) -> dict[str, str] | str:
    try:
        return dict(sections(text))
    except ValueError as error:
        return str(error)


@given(TEXTS, TEXTS)
@example("a {} b {} c {}", "a {} b { b; } c {}")
@example("a; a; a;", "a; a;")
@example("a; b; c;", "a; d; e;")
@example("a; b;", "a; b; }")
@example("a { b; } c;", "a { b; { } c;")
def test_a_text_is_read_the_same_after_any_other(before: str, text: str) -> None:
    expected = _read_afresh(text)
    _read_afresh(before)
    assert _read(text) == expected


def test_a_statement_is_named_by_what_stands_before_its_block() -> None:
    text = 'log stderr all;\n# of n2\nprotocol bgp node_n2 {\n  description "a; }";\n  ipv4 { import all; };\n}\n'
    assert dict(sections(text)) == {
        "log stderr all": "log stderr all;",
        "protocol bgp node_n2": text.removeprefix("log stderr all;").rstrip(),
    }


@pytest.mark.parametrize("text", ["protocol bgp a {", "protocol bgp a { ipv4 { }"])
def test_braces_that_do_not_match_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="braces do not match"):
        sections(text)
