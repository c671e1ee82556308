"""Who may use a service at its load balancer addresses."""

from __future__ import annotations

import pytest

from tests.unit.services.compile.build import compiled, endpoints, problems, service, texts

V4, V6 = "192.0.2.1 80/TCP", "2001:db8:b::1 80/TCP"


def limited(*ranges):
    both = service(
        cluster=["10.96.0.1", "fd00:96::1"],
        ingress=["192.0.2.1", "2001:db8:b::1"],
        externalIPs=["198.51.100.1"],
        loadBalancerSourceRanges=list(ranges),
    )
    return compiled(both, endpoints("web", "10.1.1.2"), endpoints("web", "fd00:1:1::2", name="web-6"))


def sources(result):
    """By port."""
    return sorted(f"{each.port.address} {each.prefix}" for each in result.state.sources_allowed)


@pytest.mark.parametrize(
    ("ranges", "ports", "allowed"),
    [
        ((), [], []),
        (["10.0.0.0/8", " 10.9.1.7/16 "], [V4], ["192.0.2.1 10.0.0.0/8", "192.0.2.1 10.9.0.0/16"]),
        (["10.0.0.0/8", "2001:db8::/32"], [V4, V6], ["192.0.2.1 10.0.0.0/8", "2001:db8:b::1 2001:db8::/32"]),
        (["10.0.0.0/8", "0.0.0.0/0"], [], []),
    ],
)
def test_ranges_hold_for_load_balancer_addresses_of_their_family(ranges, ports, allowed):
    result = limited(*ranges)
    assert texts(result.state.limited) == ports
    assert sources(result) == allowed
    assert not problems(result)


def test_a_range_that_cannot_be_read_opens_nothing():
    result = limited("10.0.0.0/8", "somewhere")
    assert texts(result.state.limited) == [V4, V6]
    assert sources(result) == ["192.0.2.1 10.0.0.0/8"]
    (told,) = problems(result)
    assert told.startswith("Service default/web: spec.loadBalancerSourceRanges[1]: 'somewhere'")
