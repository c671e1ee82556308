"""Virtual servers in ipvsadm's form."""

from __future__ import annotations

from birdctl.services.ipvs_text import servers_text
from birdctl.services.model import Forwarding, Scheduler, SchedulerFlag
from tests.unit.services.servers import DNS, MARK, MARK_SIX, SIX, WEB, by_key, real, server

FLAGS = frozenset({SchedulerFlag.FLAG_2, SchedulerFlag.FLAG_1})

EXPECTED = """\
-A -t 10.96.0.1:80 -s mh -p 10800 -b flag-1,flag-2,flag-3
-a -t 10.96.0.1:80 -r 10.2.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.2.0.2:8080 -m -w 0
-A -u 10.96.0.10:53 -s rr -b flag-3
-A --sctp-service [2001:db8::1]:443 -s wrr -b flag-3
-a --sctp-service [2001:db8::1]:443 -r [2001:db8:2::1]:443 -m -w 1
-A -f 218103815 -s mh -b flag-3
-a -f 218103815 -r 10.2.0.1:0 -i -w 1
-A -f 218103815 -6 -s mh -b flag-3
-a -f 218103815 -6 -r [2001:db8:2::1]:0 -i -w 1
"""


def test_virtual_servers_are_lines_in_the_order_of_their_addresses_and_marks_come_last():
    marked = {"scheduler": Scheduler.MH, "forwarding": Forwarding.TUNNEL}
    servers = by_key(
        server(MARK_SIX, real("2001:db8:2::1 0"), **marked),
        server(MARK, real("10.2.0.1 0"), **marked),
        server(SIX, real("2001:db8:2::1 443"), scheduler=Scheduler.WRR),
        server(DNS),
        server(
            WEB,
            real("10.2.0.1 8080"),
            real("10.2.0.2 8080", weight=0),
            scheduler=Scheduler.MH,
            flags=FLAGS,
            persistence_seconds=10800,
        ),
    )
    assert servers_text(servers) == EXPECTED


def test_no_virtual_servers_are_no_lines():
    assert servers_text({}) == ""
