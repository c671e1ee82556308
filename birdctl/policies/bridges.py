"""What two pods on one bridge say to each other meets iptables only if br_netfilter hands it over."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from birdctl.addresses import Family
from birdctl.netfilter import sysctl
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.netfilter.sysctl import Sysctl


def with_ports() -> tuple[str, ...]:
    """The names of this network namespace's bridges that have ports, sorted."""
    with RouteNetlink("bridges") as kernel:
        return kernel.bridges_with_ports()


def settings(families: Iterable[Family], bridges: Collection[str]) -> tuple[Sysctl, ...]:
    """What policies between pods on these bridges depend on."""
    return tuple(sysctl.bridged(each, f"no policy between pods on {', '.join(bridges)}") for each in families)
