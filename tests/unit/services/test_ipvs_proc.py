"""What a recorded /proc/net/ip_vs of Linux 6.1 says."""

from __future__ import annotations

from ipaddress import ip_address

from birdctl.addresses import Family
from birdctl.services.ipvs_proc import FoundReal, real_servers
from birdctl.services.model import Connections, Forwarding, Mark, Port, Protocol
from tests.unit.services.servers import real

HEADER = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
"""
RECORDED = f"""{HEADER}\
TCP  0A000001:0053 mh  persistent 1080000 FFFFFFFF
  -> 0A640002:1F40      Masq    3      12         7         \n\
  -> 0A640001:1F40      Masq    3      0          0         \n\
UDP  0A000001:0053 rr  ops
SCTP  [2001:0db8:0000:0000:0000:0000:0000:0001]:01BB wrr \n\
  -> [2001:0db8:0000:0000:0000:0000:0000:0005]:002C      Masq    0      0          0         \n\
FWM  00000007 wrr \n\
  -> [2001:0db8:0000:0000:0000:0000:0000:0005]:0000      Route   1      0          0         \n\
FWM  00000007 wrr \n\
  -> 0A020001:002C      Tunnel  1      0          0         \n\
FWM  00000008 rr \n\
AH   0A000001:0000 rr \n\
"""


def found(text, forwarding=Forwarding.MASQUERADE, weight=1, **connections):
    return FoundReal(real(text, weight), forwarding, Connections(**connections))


def port(address, protocol, number):
    return Port(address=ip_address(address), protocol=protocol, port=number)


def test_real_servers_are_read_in_numeric_order_with_their_connections():
    assert real_servers(RECORDED)[port("10.0.0.1", Protocol.TCP, 83)] == (
        found("10.100.0.1 8000", weight=3),
        found("10.100.0.2 8000", weight=3, active=12, inactive=7),
    )


def test_a_virtual_server_may_have_no_real_servers():
    assert real_servers(RECORDED)[port("10.0.0.1", Protocol.UDP, 83)] == ()


def test_ipv6_is_read():
    assert real_servers(RECORDED)[port("2001:db8::1", Protocol.SCTP, 443)] == (found("2001:db8::5 44", weight=0),)


def test_marks_of_one_number_are_told_apart_by_the_family_behind_them():
    read = real_servers(RECORDED)
    assert read[Mark(mark=7, family=Family.IPV4)] == (found("10.2.0.1 44", Forwarding.TUNNEL),)
    assert read[Mark(mark=7, family=Family.IPV6)] == (found("2001:db8::5 0", Forwarding.OTHER),)


def test_nothing_else_is_read():
    assert len(real_servers(RECORDED)) == 5
    assert real_servers(HEADER) == {}
