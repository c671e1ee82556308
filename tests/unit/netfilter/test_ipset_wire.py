"""ipset's messages: what is packed for the kernel is what its replies are read as."""

from __future__ import annotations

import struct
from ipaddress import IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import Family
from birdctl.netfilter import ipset_wire as wire
from birdctl.netfilter.model import IpSet, Net, Port, SetType

FOUR, SIX = st.ip_addresses(v=4), st.ip_addresses(v=6)
PROTOCOLS = st.sampled_from(["tcp", "udp", "sctp"])


def entries(kind, family):
    addresses = FOUR if family is Family.IPV4 else SIX
    network = IPv4Network if family is Family.IPV4 else IPv6Network
    match kind:
        case SetType.IP:
            return addresses
        case SetType.NET:
            return st.builds(
                lambda address, length, excluded: Net(
                    prefix=network((int(address), length), strict=False), excluded=excluded
                ),
                addresses,
                st.integers(1, family.bits),
                st.booleans(),
            )
    networks = st.builds(
        lambda address, length: network((int(address), length), strict=False), addresses, st.integers(1, family.bits)
    )
    peers = {SetType.IP_PORT_IP: addresses, SetType.IP_PORT_NET: networks}.get(kind, st.none())
    return st.builds(Port, address=addresses, protocol=PROTOCOLS, port=st.integers(0, 65535), peer=peers)


@st.composite
def sets(draw):
    kind, family = draw(st.sampled_from(list(SetType))), draw(st.sampled_from(list(Family)))
    found = draw(st.frozensets(entries(kind, family), max_size=30))
    return IpSet(name="birdctl-x", type=kind, family=family, entries=found)


@given(sets())
def test_a_set_reads_back_as_it_was_written(wanted):
    create = wire.create(wanted).body[4:]
    messages = wire.add(wanted.name, wanted.entries)
    assert wire.parse([create, *(message.body[4:] for message in messages)]) == wanted


@given(st.frozensets(FOUR, min_size=1, max_size=30))
def test_the_members_of_a_set_with_a_timeout_are_not_read(members):
    timed = IpSet(name="birdctl-cut4", type=SetType.IP, family=Family.IPV4, entries=frozenset(), timeout=60)
    replies = [wire.create(timed).body[4:], *(each.body[4:] for each in wire.add(timed.name, members))]
    assert wire.parse(replies) == timed


def test_a_set_of_a_type_that_birdctl_does_not_use_is_not_read():
    header = wire.create(IpSet(name="birdctl-x", type=SetType.IP, family=Family.IPV4, entries=frozenset()))
    assert wire.parse([header.body[4:].replace(b"hash:ip\0", b"hash:if\0")]) is None


def test_many_members_go_into_few_messages_that_are_not_too_long():
    members = [IPv6Network("2001:db8::/64")[number] for number in range(100_000)]
    messages = list(wire.add("birdctl-x", members))
    assert len(messages) < 60
    for message in messages:
        assert len(message.body) < 1 << 16
        assert struct.unpack_from("=BB", message.body) == (0, 0)
