"""The kernel's settings (sysctl(8)) that proxying services depends on: one table, which the agent sets and `birdctl
doctor` explains.
"""

from __future__ import annotations

import os
import re

from birdctl.addresses import Family
from birdctl.netfilter import sysctl
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.netfilter.sysctl import Sysctl
from birdctl.services.model import Scheduler, ServiceState

_REUSE_IS_FAST = (5, 9)
"""From this Linux on, a connection from a port that was just used need not wait."""

_IPVS = (
    Sysctl(
        name="net.ipv4.vs.conntrack",
        wanted="1",
        module="ip_vs",
        otherwise="answers to masqueraded clients are lost, and policies do not know the replies of services",
    ),
    Sysctl(
        name="net.ipv4.vs.expire_nodest_conn",
        wanted="1",
        module="ip_vs",
        otherwise="connections to an endpoint that is gone hang until they time out",
    ),
    Sysctl(
        name="net.ipv4.vs.expire_quiescent_template",
        wanted="1",
        module="ip_vs",
        otherwise="clients with session affinity keep coming to an endpoint that is going",
    ),
)
_REUSE = Sysctl(
    name="net.ipv4.vs.conn_reuse_mode",
    wanted="1",
    module="ip_vs",
    otherwise="a client that uses a port again gets the endpoint that it had, even one that is going",
)
_REUSE_BEFORE = Sysctl(
    name="net.ipv4.vs.conn_reuse_mode",
    wanted="0",
    module="ip_vs",
    otherwise="a client that uses a port again waits a second",
)
_SLOPPY_TCP = Sysctl(
    name="net.ipv4.vs.sloppy_tcp",
    wanted="1",
    module="ip_vs",
    otherwise="no connection of direct server return survives that the network moves it to another node",
)
_IPV4 = (
    Sysctl(
        name="net.ipv4.conf.all.arp_ignore",
        wanted="1",
        otherwise="this node answers ARP for the VIPs of all services on every link",
    ),
    Sysctl(
        name="net.ipv4.conf.all.arp_announce",
        wanted="2",
        otherwise="this node tells its neighbours by ARP that VIPs are its addresses",
    ),
    Sysctl(
        name="net.ipv4.conf.all.rp_filter",
        wanted="2",
        otherwise="packets that take another way than the answers to them are dropped",
        unless_none=("net.ipv4.conf.*.rp_filter", "1"),
    ),
)
_ON_A_BRIDGE = "a pod does not understand answers from a pod of a service that is on the same bridge"


def needed(*, ipv4: bool, ipv6: bool, bridged: bool, sloppy: bool, kernel: tuple[int, int]) -> tuple[Sysctl, ...]:
    """`bridged`: pods may be on a bridge. `sloppy`: see `goes_on`. `kernel`: the version that runs, as (6, 1)."""
    reuse = _REUSE if kernel >= _REUSE_IS_FAST else _REUSE_BEFORE
    return (
        *_IPVS,
        reuse,
        *((_SLOPPY_TCP,) if sloppy else ()),
        *(_IPV4 if ipv4 else ()),
        *(
            sysctl.bridged(each, _ON_A_BRIDGE)
            for each, on in ((Family.IPV4, ipv4), (Family.IPV6, ipv6))
            if on and bridged
        ),
    )


def goes_on(state: ServiceState) -> bool:
    """Whether any node could go on with a connection that the network moves to it: its packets carry everything, and
    every node finds the same endpoint.
    """
    servers = (state.virtual_servers.get(each.key) for each in state.direct_returns)
    return any(server is not None and server.scheduler is Scheduler.MH for server in servers)


def needed_here(*, ipv4: bool = True, ipv6: bool = True, sloppy: bool = False) -> tuple[Sysctl, ...]:
    """On this node, by its kernel and its bridges."""
    major, minor, *_ = re.findall(r"\d+", os.uname().release)
    with RouteNetlink("bridges") as kernel:
        bridged = sysctl.is_there(sysctl.bridged(Family.IPV4, "")) or bool(kernel.bridges_with_ports())
    return needed(ipv4=ipv4, ipv6=ipv6, bridged=bridged, sloppy=sloppy, kernel=(int(major), int(minor)))
