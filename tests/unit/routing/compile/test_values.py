"""Reading single values."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import parse_span
from birdctl.cluster.bgp import PrefixRule
from birdctl.routing.compile import values


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("3s", 3), ("90s", 90), ("1h", 3600), ("1h30m", 5400), ("2000ms", 2)]
)
def test_durations(text, seconds):
    assert values.seconds(text, 0, 86400) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "1d", "-1s", "1500ms", "1.5s", "90 s", "25h"])
def test_what_is_no_duration_in_whole_seconds_within_bounds(text):
    with pytest.raises(ValueError, match=r"duration|whole number|between"):
        values.seconds(text, 0, 86400)


def test_milliseconds():
    assert [values.milliseconds(text, 1, 60000) for text in ("50ms", "1s", "1m")] == [50, 1000, 60000]


@pytest.mark.parametrize("asn", [1, 23455, 23457, 63999, 64512, 65534, 131072, 4294967294])
def test_usable_asns(asn):
    assert values.asn(asn) == asn


@pytest.mark.parametrize("asn", [-1, 0, 23456, 64000, 64495, 64511, 65535, 65536, 131071, 4294967295, 4294967296])
def test_reserved_asns(asn):
    with pytest.raises(ValueError, match=str(asn)):
        values.asn(asn)


@given(st.ip_addresses(), st.data())
def test_the_network_of_an_address_is_that_of_the_standard_library(address, data):
    length = data.draw(st.integers(0, address.max_prefixlen))

    assert values.network_of(address, length) == ipaddress.ip_network(f"{address}/{length}", strict=False)


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("192.0.2.0/26", ["192.0.2.0/26"]),
        ("192.0.2.7", ["192.0.2.7/32"]),
        ("192.0.2.128-192.0.2.130", ["192.0.2.128/31", "192.0.2.130/32"]),
        ("192.0.2.0 - 192.0.2.255", ["192.0.2.0/24"]),
        ("2001:db8::/112", ["2001:db8::/112"]),
    ],
)
def test_ranges_of_addresses(text, prefixes):
    assert [str(prefix) for prefix in parse_span(text)] == prefixes


@pytest.mark.parametrize(
    ("rule", "lengths"),
    [
        (PrefixRule(prefix="10.0.0.0/8"), (8, 8)),
        (PrefixRule(prefix="10.0.0.0/8", max_length=24), (8, 24)),
        (PrefixRule(prefix="10.0.0.0/8", min_length=16), (16, 32)),
        (PrefixRule(prefix="10.0.0.0/8", min_length=16, max_length=24), (16, 24)),
        (PrefixRule(prefix="fd00::/8", min_length=64), (64, 128)),
    ],
)
def test_the_lengths_an_entry_allows(rule, lengths):
    pattern = values.pattern(rule)

    assert (pattern.min_length, pattern.max_length) == lengths


@given(st.text(max_size=100))
def test_a_password_is_one_that_bird_and_the_kernel_can_hold_or_refused(text):
    content = text.encode("utf-8", "surrogatepass")
    holdable = text.isprintable() and '"' not in text and 0 < len(content) <= 80

    if holdable:
        assert values.password(content).reveal() == text
    else:
        with pytest.raises(ValueError, match=r"^the password "):
            values.password(content)
