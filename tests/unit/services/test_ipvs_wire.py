"""What a change says to the kernel, and what recorded replies of Linux 6.1 say."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from birdctl.addresses import Family
from birdctl.netfilter.netlink import attribute, nested
from birdctl.services import ipvs_wire
from birdctl.services.ipvs_change import ServerChange, Step
from birdctl.services.model import Connections, Mark, Port, Protocol, Scheduler, SchedulerFlag, Traffic
from tests.unit.services.servers import MARK, SIX, WEB, real, server

A, B = real("10.2.0.1 8080"), real("10.2.0.2 8080")
KIND = 28
NEW_SERVICE, SET_SERVICE, DEL_SERVICE, NEW_DEST, SET_DEST, DEL_DEST = 1, 2, 3, 5, 6, 7

STATS = bytes.fromhex(
    "0c000100000000000000000004000b000c000200000000000000000004000b000c000300000000000000000004000b000c0004000000000000"
    "00000004000b000c000500000000000000000004000b000c000600000000000000000004000b000c000700000000000000000004000b000c00"
    "0800000000000000000004000b000c000900000000000000000004000b000c000a000000000000000000"
)
AFFINE = bytes.fromhex(
    "06000100020000000600020006000000140003000a0000010000000000000000000000000600040000530000070006006d6800000c0007002b"
    "000000ffffffff08000800302a000008000900ffffffff"
)
SCTP = bytes.fromhex(
    "060001000a00000006000200840000001400030020010db80000000000000000000000010600040001bb000008000600777272000c00070022"
    "000000ffffffff08000800000000000800090080000000"
)
MARKED = bytes.fromhex("0600010002000000080005000700000008000600777272000c00070022000000ffffffff0800080000000000")
STRANGE = bytes.fromhex("060001000a000000080005000700000007000600666f00000c00070022000000ffffffff0800080000000000")
UNMARKED = bytes.fromhex("0600010002000000080005000700000008000600777272000c00070002000000ffffffff0800080000000000")
REAL_SIX = bytes.fromhex(
    "1400010020010db800000000000000000000000506000200002c00000800030000000000080004000000000005000d000000000006"
    "000e000000000006000f000000000008000500000000000800060000000000080007000300000008000800020000000800090000000000"
    "06000b000a000000"
)


def told(recorded):
    """What the recorded attributes of a virtual server say."""
    return ipvs_wire.found_server(nested(1, recorded, nested(12, STATS)))


def commands(change):
    return [message.body[0] for message in ipvs_wire.messages(KIND, change)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (ServerChange(server=server(WEB), step=Step.CREATE), [NEW_SERVICE]),
        (ServerChange(server=server(WEB), step=Step.SET), [SET_SERVICE]),
        (ServerChange(server=server(WEB, A), step=Step.DELETE), [DEL_SERVICE]),
        (ServerChange(server=server(WEB, A), step=Step.KEEP, coming=(A,), going=(B,)), [NEW_DEST, DEL_DEST]),
        (
            ServerChange(server=server(WEB, A), step=Step.SET, going=(B,), changing=(A,)),
            [SET_SERVICE, SET_DEST, DEL_DEST],
        ),
    ],
)
def test_a_change_is_messages_in_the_order_of_its_parts(change, expected):
    assert commands(change) == expected


@pytest.mark.parametrize("scheduler", [Scheduler.MH, Scheduler.SH, Scheduler.DH])
def test_a_scheduler_with_a_table_comes_after_the_real_servers_that_it_would_be_computed_for(scheduler):
    created = server(WEB, A, B, scheduler=scheduler)
    change = ServerChange(server=created, step=Step.CREATE, coming=created.real_servers)
    assert commands(change) == [NEW_SERVICE, NEW_DEST, NEW_DEST, SET_SERVICE]
    first, *_, last = (ipvs_wire.subject(message) for message in ipvs_wire.messages(KIND, change))
    assert (first, last) == ("virtual server with scheduler rr", f"virtual server with scheduler {scheduler}")


def test_a_message_tells_what_it_is_about():
    change = ServerChange(server=server(SIX), step=Step.KEEP, coming=(real("2001:db8:2::1 80"),), going=(A,))
    coming, going = ipvs_wire.messages(KIND, change)
    assert ipvs_wire.subject(coming) == "real server 2001:db8:2::1 port 80"
    assert ipvs_wire.subject(going) == "real server 10.2.0.1 port 8080"
    assert [ipvs_wire.is_deletion(each) for each in (coming, going)] == [False, True]


def test_affinity_flags_and_our_mark_are_read():
    found = told(AFFINE).server
    assert found == server(
        Port(address=ip_address("10.0.0.1"), protocol=Protocol.TCP, port=83),
        scheduler=Scheduler.MH,
        flags=frozenset({SchedulerFlag.FLAG_1}),
        persistence_seconds=10800,
    )


def test_ipv6_is_read():
    key = Port(address=ip_address("2001:db8::1"), protocol=Protocol.SCTP, port=443)
    assert told(SCTP).server == server(key, scheduler=Scheduler.WRR)


def test_a_firewall_mark_is_read():
    assert told(MARKED).server == server(Mark(mark=7, family=Family.IPV4), scheduler=Scheduler.WRR)


@pytest.mark.parametrize("recorded", [UNMARKED, STRANGE], ids=["no mark of ours", "a scheduler that we never use"])
def test_what_others_made_is_told_apart(recorded):
    assert not told(recorded).server.ours


def test_a_protocol_that_no_service_has_is_not_read():
    assert told(attribute(1, b"\2\0") + attribute(2, b"\x32\0")) is None


def test_traffic_is_read_in_the_order_of_its_fields():
    values = range(1, 11)
    stats = b"".join(attribute(kind, value.to_bytes(8, "little")) for kind, value in enumerate(values, start=1))
    found = ipvs_wire.found_server(nested(1, MARKED, nested(12, stats)))
    assert found.traffic == Traffic(
        connections=1,
        packets_in=2,
        packets_out=3,
        bytes_in=4,
        bytes_out=5,
        connections_per_second=6,
        packets_in_per_second=7,
        packets_out_per_second=8,
        bytes_in_per_second=9,
        bytes_out_per_second=10,
    )


def test_a_real_server_is_read():
    found = ipvs_wire.found_real(nested(2, REAL_SIX), Family.IPV6)
    assert found.server.endpoint == (ip_address("2001:db8::5"), 44)
    assert found.connections == Connections(active=3, inactive=2)


def test_the_family_is_found_by_name():
    others = attribute(2, b"nlctrl\0") + attribute(1, b"\x10\0")
    ipvs = attribute(2, b"IPVS\0") + attribute(1, b"\x1c\0")
    assert ipvs_wire.family_id([others, ipvs]) == KIND
    assert ipvs_wire.family_id([others]) is None


def test_marks_and_ports_have_different_names_in_messages():
    marked, named = (
        next(ipvs_wire.messages(KIND, ServerChange(server=server(key), step=Step.DELETE))).body for key in (MARK, WEB)
    )
    assert MARK.mark.to_bytes(4, "little") in marked
    assert WEB.address.packed in named
