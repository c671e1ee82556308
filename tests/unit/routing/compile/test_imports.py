"""What external peers may teach."""

from __future__ import annotations

import pytest

from tests.unit.routing.build import bgp_configuration, bgp_peer, compiled, filters, node, pool, problems
from tests.unit.routing.walk import imports

A = node("a", "10.0.0.1", "fd00::1", pods=("10.1.0.0/24", "fd00:1::/64"))
B = node("b", "10.0.0.2", "fd00::2", pods=("10.1.1.0/24", "fd00:1:1::/64"))


def allow(*rules, address="10.0.0.9"):
    """A cluster whose tor1 may teach these: a prefix, or (prefix, shortest, longest)."""
    entries = [
        {"prefix": rule}
        if isinstance(rule, str)
        else dict(zip(("prefix", "minLength", "maxLength"), rule, strict=False))
        for rule in rules
    ]
    return bgp_peer("tor1", address, **{"import": {"allow": entries}})


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "192.168.0.0/24", "10.1.1.0/24", "10.96.0.0/12", "203.0.113.1/32"])
def test_nothing_is_imported_without_an_allow_list(prefix):
    """kube-router takes all but the default route (D17)."""
    result = compiled(A, B, bgp_peer("tor1", "10.0.0.9"))

    assert not imports(result, "tor1", prefix)
    assert filters(result)["in4_tor1"].terms == ()


@pytest.mark.parametrize(
    ("rule", "prefix", "taken"),
    [
        ("192.168.0.0/16", "192.168.0.0/16", True),
        ("192.168.0.0/16", "192.168.1.0/24", False),
        (("192.168.0.0/16", None, 24), "192.168.0.0/16", True),
        (("192.168.0.0/16", None, 24), "192.168.1.0/24", True),
        (("192.168.0.0/16", None, 24), "192.168.1.0/25", False),
        (("192.168.0.0/16", 24), "192.168.0.0/16", False),
        (("192.168.0.0/16", 24), "192.168.1.1/32", True),
        (("192.168.0.0/16", 20, 22), "192.168.16.0/20", True),
        (("192.168.0.0/16", 20, 22), "192.168.1.0/24", False),
        (("0.0.0.0/0", None, 32), "203.0.113.0/24", True),
    ],
)
def test_an_entry_allows_its_lengths(rule, prefix, taken):
    assert imports(compiled(A, B, allow(rule)), "tor1", prefix) is taken


def test_the_clusters_list_holds_where_the_peer_has_none():
    configuration = bgp_configuration(**{"import": {"allow": [{"prefix": "192.168.0.0/16"}]}})

    assert imports(compiled(A, configuration, bgp_peer("tor1", "10.0.0.9")), "tor1", "192.168.0.0/16")
    assert not imports(compiled(A, configuration, allow()), "tor1", "192.168.0.0/16")
    assert not imports(compiled(A, configuration, allow("172.16.0.0/12")), "tor1", "192.168.0.0/16")


@pytest.mark.parametrize(
    "prefix",
    [
        "0.0.0.0/0",
        "10.96.0.0/12",
        "10.96.0.10/32",
        "192.0.2.0/24",
        "192.0.2.7/32",
        "198.51.100.3/32",
        "203.0.113.5/32",
        "10.1.0.0/24",
        "10.1.0.0/25",
        "10.1.1.0/25",
        "10.1.1.9/32",
    ],
)
def test_some_things_are_never_imported_by_a_wide_entry(prefix):
    ranges = {"loadbalancer_ip_range": ["192.0.2.0/24"], "service_external_ip_range": ["198.51.100.0/24"]}
    result = compiled(A, B, allow(("0.0.0.0/0", None, 32)), pool("p", "203.0.113.0/24"), **ranges)

    assert not imports(result, "tor1", prefix)


def test_another_nodes_pod_cidr_as_such_may_come_from_outside():
    assert imports(compiled(A, B, allow(("10.0.0.0/8", None, 24))), "tor1", "10.1.1.0/24")


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "10.96.0.0/12", "10.97.0.0/16", "10.1.1.0/25", "10.1.0.0/24"])
def test_an_entry_of_exactly_that_prefix_is_the_asking(prefix):
    assert imports(compiled(A, B, allow(prefix)), "tor1", prefix)
    assert imports(compiled(A, B, allow(prefix, ("0.0.0.0/0", None, 32))), "tor1", prefix)


def test_the_ipv6_default_route_too():
    wide, asked = allow(("::/0", None, 128), address="fd00::9"), allow("::/0", address="fd00::9")

    assert not imports(compiled(A, B, wide), "tor1", "::/0")
    assert not imports(compiled(A, B, wide), "tor1", "fd00:1:1::1/128")
    assert imports(compiled(A, B, wide), "tor1", "2001:db8::/32")
    assert imports(compiled(A, B, asked), "tor1", "::/0")


def test_custom_rejects_hold_against_everybody():
    own = node(
        "a",
        "10.0.0.1",
        "fd00::1",
        pods="10.1.0.0/24",
        annotations={"node.bgp.customimportreject": "172.16.0.0/12, fc00::/7"},
    )
    result = compiled(own, B, allow("172.16.0.0/12", ("172.16.0.0/12", None, 32), "192.168.0.0/16"))

    assert not imports(result, "tor1", "172.16.0.0/12")
    assert not imports(result, "tor1", "172.20.1.0/24")
    assert imports(result, "tor1", "192.168.0.0/16")
    assert not imports(result, "b", "172.20.1.0/24")
    assert not imports(result, "b", "fc00:1::/64")


def test_a_bad_custom_reject_is_one_problem_and_the_others_count():
    """In kube-router one bad entry disables the whole list."""
    own = node(
        "a",
        "10.0.0.1",
        pods="10.1.0.0/24",
        annotations={"node.bgp.customimportreject": "172.16.0.1/12,192.168.0.0/16,x"},
    )
    result = compiled(own, B)

    assert not imports(result, "b", "192.168.7.0/24")
    unreadable, repairable = problems(result)
    assert "'x' does not appear to be an IPv4 or IPv6 network" in unreadable
    assert "172.16.0.1/12 has host bits set; expected 172.16.0.0/12" in repairable


def test_what_all_filters_refuse_is_one_set():
    peers = [
        bgp_peer(
            f"t{i}", f"10.9.0.{i + 1}", **{"import": {"allow": [{"prefix": "0.0.0.0/0"}, {"prefix": "10.0.0.0/8"}]}}
        )
        for i in range(5)
    ]
    config = compiled(A, B, *peers).config

    sets = {each.name: each.patterns for each in config.prefix_sets}
    used = [term for each in config.filters for term in each.terms if term.prefix_set]
    assert len(used) == 5
    assert all(term.prefixes is sets[term.prefix_set] for term in used)
