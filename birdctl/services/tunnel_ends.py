"""The pod's side of direct server return: in its network namespace, a device that ends the tunnel and holds the VIPs.

The device's alias names the node that made it, so that of several nodes on one machine each minds its own pods.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping

from birdctl.addresses import Address, Family, family
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import rtnetlink
from birdctl.netfilter.rtnetlink import ARP_ANNOUNCE, ARP_IGNORE, RP_FILTER, UP, Held, Link, RouteNetlink

DEVICES = {Family.IPV4: "birdctl-dsr4", Family.IPV6: "birdctl-dsr6"}
_MODULES = {Family.IPV4: "ipip", Family.IPV6: "ip6_tunnel"}
_SILENT = {ARP_ANNOUNCE: 2, ARP_IGNORE: 1}
"""The pod tells its neighbours nothing of VIPs, neither when they ask nor when it asks for its gateway."""
_LOOSE = {RP_FILTER: 2}
"""What comes out of the tunnel was sent by clients whom the pod answers through another interface."""

Vips = Mapping[Address, frozenset[Address]]
"""Those of each pod, by the pod's address."""


def align(kernel: RouteNetlink, vips: Vips, owner: str) -> dict[Address, str]:
    """Gives the pod of this namespace the tunnel ends it should have, and no others: its addresses that are in `vips`,
    each with the reason if that failed. ARP settings stay when the last VIP goes: they say nothing without one.
    """
    held = tuple(kernel.addresses())
    outcome: dict[Address, str] = {}
    for each, name in DEVICES.items():
        pod = next((one for one in held if one.address in vips and family(one.address) is each), None)
        try:
            if pod:
                outcome[pod.address] = ""
                _set_up(kernel, pod, vips[pod.address], held, owner)
            elif (link := kernel.link(name)) and link.alias == owner:
                kernel.do([rtnetlink.delete_link(name)], errno.ENODEV)
        except BackendError as error:
            if pod:
                outcome[pod.address] = str(error)
    return outcome


def _set_up(kernel: RouteNetlink, pod: Held, vips: frozenset[Address], held: Collection[Held], owner: str) -> None:
    link = made(kernel, pod.address)
    there = {one.address for one in held if one.interface == link.index and not one.address.is_link_local}
    coming = [rtnetlink.new_address(each, link.index) for each in vips - there]
    going = [rtnetlink.delete_address(each, link.index) for each in there - vips]
    settings = [
        rtnetlink.set_alias(link.index, owner),
        rtnetlink.set_conf(link.index, _LOOSE),
        rtnetlink.set_conf(pod.interface, _SILENT),
    ]
    kernel.do([*(settings if coming else ()), *coming, *going], errno.EEXIST, errno.EADDRNOTAVAIL)


def made(kernel: RouteNetlink, pod: Address) -> Link:
    """The tunnel end for this address of the pod, up. Raises Unavailable when the kernel has no such tunnels."""
    name = DEVICES[family(pod)]
    link = kernel.link(name)
    if link and link.flags & UP:
        return link
    number = kernel.request([rtnetlink.new_tunnel_end(name, pod)]).get(0)
    if number == errno.EOPNOTSUPP:
        raise Unavailable(
            f"the kernel has no tunnels of {family(pod)} in {family(pod)}: modprobe {_MODULES[family(pod)]}"
        )
    link = kernel.link(name)
    if link is None:
        raise BackendError(f"{name} cannot be made: {os.strerror(number or errno.ENODEV)}")
    return link
