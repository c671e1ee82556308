"""The VIPs of the node, on a dummy device of our own, and the addresses that are the node's.

A VIP is a local route through the device, not an address of it: so the kernel never chooses it as the source of
anything, and the node itself talks to it from its own address. The device only holds these routes together;
`ip route show table local dev birdctl-vips` lists them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping

from birdctl.addresses import Address, Family, family
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import rtnetlink
from birdctl.netfilter.rtnetlink import ETHERNET_MTU, NOARP, UP, Link, RouteNetlink

DEVICE = "birdctl-vips"
_OF_PROXIES = (DEVICE, "kube-ipvs0", "kube-dummy-if")
"""Their addresses are VIPs: ours, and what kube-proxy and kube-router leave behind."""
_AS_WANTED = (errno.EEXIST, errno.ESRCH, errno.ENOENT)


class VipDevice:
    """The device of this network namespace; `close` it in the end."""

    def __init__(self) -> None:
        self._kernel = RouteNetlink(f"device {DEVICE}")
        self._sources: dict[Family, Address] | None = None

    def close(self) -> None:
        self._kernel.close()

    def read(self) -> frozenset[Address]:
        """The VIPs that stand. Raises BackendError."""
        return frozenset(self._held())

    def _held(self) -> dict[Address, Address | None]:
        device = self._kernel.link(DEVICE)
        return dict(self._kernel.local_routes(device.index)) if device else {}

    def write(
        self, coming: Collection[Address], going: Collection[Address], sources: Mapping[Family, Address]
    ) -> dict[Address, str]:
        """Lets VIPs come and go, and the node talk to all that stand from `sources`. What was refused, and why.

        A VIP that is an address of another interface needs nothing here, and a source that is none of the node's
        addresses cannot be used until it is: the node then talks to the VIP from the VIP. Raises Unavailable when the
        kernel has no dummy devices.
        """
        own = self.local_addresses()
        usable = {of: source for of, source in sources.items() if source in own}
        again = self._with_other_sources(usable).difference(going)
        wanted = again.union(coming) - own
        device = self._made() if wanted else self._kernel.link(DEVICE)
        if device is None:
            return {}
        changed = [*going, *again, *wanted]
        messages = [rtnetlink.delete_local_route(each, device.index) for each in (*going, *again)]
        messages += [rtnetlink.new_local_route(each, device.index, usable.get(family(each))) for each in wanted]
        errors = self._kernel.request(messages)
        self._sources = usable
        return {changed[at]: os.strerror(number) for at, number in errors.items() if number not in _AS_WANTED}

    def _with_other_sources(self, sources: Mapping[Family, Address]) -> frozenset[Address]:
        """After a start, nobody knows what the one before wrote."""
        if self._sources == sources:
            return frozenset()
        return frozenset(vip for vip, source in self._held().items() if source != sources.get(family(vip)))

    def _made(self) -> Link:
        number = self._kernel.request([rtnetlink.new_link(DEVICE, "dummy", UP | NOARP)]).get(0)
        if number == errno.EOPNOTSUPP:
            raise Unavailable("the kernel has no dummy devices, on which VIPs are held: modprobe dummy")
        device = self._kernel.link(DEVICE)
        if number or device is None:
            raise BackendError(f"{DEVICE} cannot be made: {os.strerror(number or errno.ENODEV)}")
        return device

    def local_addresses(self) -> frozenset[Address]:
        """The node's own: of every interface but those that hold VIPs, without loopback and link-local ones."""
        of_proxies = {link.index for name in _OF_PROXIES if (link := self._kernel.link(name))}
        return frozenset(
            address
            for address, interface in self._kernel.addresses()
            if interface not in of_proxies and not address.is_loopback and not address.is_link_local
        )

    def mtu(self, sources: Iterable[Address]) -> int:
        """The smallest, in bytes, of the interfaces that have these addresses; Ethernet's without any."""
        wanted = frozenset(sources)
        indexes = {each.interface for each in self._kernel.addresses() if each.address in wanted}
        return min((self._kernel.mtu(each) for each in indexes), default=ETHERNET_MTU)

    def remove(self) -> None:
        """The device with everything on it; one that is not there is no error. Raises BackendError."""
        self._kernel.do([rtnetlink.delete_link(DEVICE)], errno.ENODEV)
        self._sources = None
