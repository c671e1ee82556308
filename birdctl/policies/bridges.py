"""What two pods on one bridge say to each other meets iptables only if br_netfilter hands it over (its own sysctls)."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from birdctl.addresses import Family
from birdctl.netfilter.netlink import NETLINK_ROUTE, Message, Netlink, attributes

SYSCTLS = Path("/proc/sys")
_NAMES = {Family.IPV4: "net.bridge.bridge-nf-call-iptables", Family.IPV6: "net.bridge.bridge-nf-call-ip6tables"}
_GET_LINK, _LINK_HEADER = 18, 12
"""RTM_GETLINK; what remains of struct ifinfomsg."""
_INDEX = slice(0, 4)
_NAME, _MASTER, _LINK_INFO, _KIND = 3, 10, 18, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What decides whether a family's bridged packets meet iptables; `value` "" without br_netfilter."""

    name: str
    value: str

    @property
    def on(self) -> bool:
        return self.value == "1"

    def problem(self, bridges: Collection[str]) -> str:
        return f"{self.name} is {self.value or 'absent'}: no policy between pods on {', '.join(bridges)}"

    @property
    def fix(self) -> str:
        return f"{'' if self.value else 'modprobe br_netfilter; '}sysctl -w {self.name}=1"


def switch(family: Family) -> Switch:
    """As it is in this network namespace."""
    path = _path(family)
    return Switch(name=_NAMES[family], value=path.read_text().strip() if path.exists() else "")


def switch_on(family: Family) -> Switch:
    """As it is now, on if that may be done from here."""
    path = _path(family)
    with suppress(OSError):
        if path.exists() and path.read_text().strip() != "1":
            path.write_text("1")
    return switch(family)


def _path(family: Family) -> Path:
    return SYSCTLS.joinpath(*_NAMES[family].split("."))


def with_ports() -> tuple[str, ...]:
    """The names of this network namespace's bridges that have ports, sorted."""
    names, masters = {}, set()
    with Netlink("links", NETLINK_ROUTE) as kernel:
        for reply in kernel.dump(Message(_GET_LINK, bytes(_LINK_HEADER))):
            found = attributes(reply, _LINK_HEADER)
            masters.add(found.get(_MASTER))
            if attributes(found.get(_LINK_INFO, b"")).get(_KIND) == b"bridge\0":
                names[reply[_INDEX]] = found[_NAME].rstrip(b"\0").decode()
    return tuple(sorted(name for index, name in names.items() if index in masters))
