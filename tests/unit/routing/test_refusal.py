"""What BIRD says about a text, made to lead to the place."""

from __future__ import annotations

import pytest

from birdctl.routing.refusal import masked, refusal

TEXT = """\
# node a
router id 10.0.0.1;

# BGPPeer tor1
protocol bgp peer_tor1 {
  local as 64512;
  password "s3cret"; nonsense;
}
filter tor1_out4 {
  acccept;
}
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "/etc/bird/bird.conf:2:11 syntax error",
            "line 2, column 11: syntax error: router id 10.0.0.1;",
        ),
        (
            "/etc/bird/bird.conf:6:9 Local AS number already set",
            "line 6, column 9 in `protocol bgp peer_tor1` (BGPPeer tor1): Local AS number already set: local as 64512;",
        ),
        (
            "/etc/bird/bird.conf:7:22 syntax error",
            'line 7, column 22 in `protocol bgp peer_tor1` (BGPPeer tor1): syntax error: password "***"; nonsense;',
        ),
        (
            "/etc/bird/bird.conf:10:3 syntax error",
            "line 10, column 3 in `filter tor1_out4`: syntax error: acccept;",
        ),
        ("/etc/bird/bird.conf:0:0 at the end", "/etc/bird/bird.conf:0:0 at the end"),
        ("/etc/bird/bird.conf:99:1 beyond the end", "/etc/bird/bird.conf:99:1 beyond the end"),
        ("Unable to open configuration file", "Unable to open configuration file"),
    ],
)
def test_a_refusal_names_line_block_and_object_in_one_line(answer: str, expected: str) -> None:
    assert refusal(answer, TEXT) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('password "s3cret";', 'password "***";'),
        ('  password   "s3cret" { };', '  password   "***" { };'),
        ('password "one"; password "two";', 'password "***"; password "***";'),
        ('password "without an end', 'password "***"'),
        ('description "password";', 'description "password";'),
        ('keys { key { secret "x"; }; Key "y"; };', 'keys { key { secret "***"; }; Key "***"; };'),
    ],
)
def test_no_password_is_ever_shown(line: str, expected: str) -> None:
    assert masked(line) == expected
