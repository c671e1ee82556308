"""Sets as `ipset restore` reads them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from birdctl.addresses import Family
from birdctl.netfilter.ipset_text import sets_text
from birdctl.netfilter.model import IpSet, Net, Port, SetType

BLOCK = IpSet(
    name="birdctl-net4-a",
    type=SetType.NET,
    family=Family.IPV4,
    entries=frozenset(
        {Net(prefix=ip_network("10.0.0.0/8")), Net(prefix=ip_network("10.1.0.0/16"), excluded=True)},
    ),
)
PORTS = IpSet(
    name="birdctl-ports6-b",
    type=SetType.IP_PORT,
    family=Family.IPV6,
    entries=frozenset({Port(address=ip_address("2001:db8::1"), protocol="udp", port=53)}),
)
CUT = IpSet(name="birdctl-cut4", type=SetType.IP_PORT_IP, family=Family.IPV4, entries=frozenset(), timeout=60)


def test_sets_are_created_and_filled_in_order() -> None:
    sets = {each.name: each for each in (PORTS, BLOCK, CUT)}
    assert sets_text(sets).splitlines() == [
        "create birdctl-cut4 hash:ip,port,ip family inet maxelem 1048576 timeout 60",
        "create birdctl-net4-a hash:net family inet maxelem 1048576",
        "add birdctl-net4-a 10.0.0.0/8",
        "add birdctl-net4-a 10.1.0.0/16 nomatch",
        "create birdctl-ports6-b hash:ip,port family inet6 maxelem 1048576",
        "add birdctl-ports6-b 2001:db8::1,udp:53",
    ]


def test_no_sets_are_no_text() -> None:
    assert sets_text({}) == ""
