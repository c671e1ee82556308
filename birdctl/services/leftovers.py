"""Takes away what a kube-proxy that no longer runs left on this node: only what bears a sure sign of being its own."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import NamedTuple

from birdctl.addresses import Address, Family, Prefix
from birdctl.errors import BackendError, Unavailable
from birdctl.netfilter import nft, rtnetlink
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.iptables import IptablesBackend, Mode
from birdctl.netfilter.model import Owner
from birdctl.netfilter.rtnetlink import RouteNetlink
from birdctl.services.ipvs import IpvsBackend
from birdctl.services.ipvs_change import IpvsChanges, ServerChange, Step
from birdctl.services.kubeproxy import DEVICE, SETS, TABLE, ChainsLeft, chains_left, node_ports_of
from birdctl.services.model import Port, Protocol, ServerKey

PROC = Path("/proc")
_PORTS = {10249, 10256}
"""Of its metrics and its health: seen where its process is not, from a container or inside of k3s."""
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def running() -> str | None:
    """The sign that kube-proxy runs here; None without one."""
    if "kube-proxy" in _process_names():
        return "kube-proxy runs on this node"
    if ports := _PORTS.intersection(_listening()):
        return f"somebody listens on kube-proxy's port {min(ports)}"
    return None


def _process_names() -> Iterator[str]:
    """Of the processes that can be seen from here."""
    for path in PROC.glob("[0-9]*/comm"):
        try:
            yield path.read_text().strip()
        except OSError:
            continue  # it ended


def _listening() -> Iterator[int]:
    for name in ("tcp", "tcp6"):
        table = PROC / "thread-self/net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == _LISTENING:
                yield int(fields[1].rpartition(":")[2], 16)


def remove(excluded: Collection[Prefix]) -> Iterator[str]:
    """Does it; says what was removed, and what of it had to stay. Addresses in `excluded` are left alone.

    Raises BackendError where the kernel refuses.
    """
    yield from _remove_virtual_servers(excluded)
    yield from _remove_device(excluded)
    yield from _remove_chains()
    yield from _remove_sets()
    yield from _remove_tables()


def _remove_virtual_servers(excluded: Collection[Prefix]) -> Iterator[str]:
    try:
        ipvs = IpvsBackend(excluded)
    except Unavailable:
        return
    with closing(ipvs):
        signs = _signs()
        theirs = [each for each in ipvs.read().values() if not each.ours and signs.fit(each.key)]
        refused = ipvs.write(IpvsChanges(servers=tuple(ServerChange(server=each, step=Step.DELETE) for each in theirs)))
    for key, reason in refused.items():
        raise BackendError(f"virtual server {key}: {reason}")
    if theirs:
        yield f"{len(theirs)} virtual servers removed"


class _Signs(NamedTuple):
    """By which a virtual server is kube-proxy's: an address that its device holds, or a node port at the node's own."""

    held: frozenset[Address]
    own: frozenset[Address]
    node_ports: frozenset[tuple[Protocol, int]]

    def fit(self, key: ServerKey) -> bool:
        if not isinstance(key, Port):
            return False
        return key.address in self.held or (key.address in self.own and (key.protocol, key.port) in self.node_ports)


def _signs() -> _Signs:
    with RouteNetlink(f"device {DEVICE}") as kernel:
        device = kernel.link(DEVICE)
        addresses = tuple(kernel.addresses())
    return _Signs(
        held=frozenset(each.address for each in addresses if device and each.interface == device.index),
        own=frozenset(each.address for each in addresses),
        node_ports=frozenset(_node_ports()),
    )


def _node_ports() -> Iterator[tuple[Protocol, int]]:
    with closing(IpsetBackend(Owner.SERVICES)) as ipset:
        for name in _sets(ipset):
            if protocol := node_ports_of(name):
                yield from ((protocol, port) for port in ipset.ports(name))


def _remove_device(excluded: Collection[Prefix]) -> Iterator[str]:
    """With an excluded address on it, only the other addresses go."""
    with RouteNetlink(f"device {DEVICE}") as kernel:
        device = kernel.link(DEVICE)
        if device is None:
            return
        held = [each.address for each in kernel.addresses() if each.interface == device.index]
        going = [each for each in held if not any(each in prefix for prefix in excluded)]
        if len(going) == len(held):
            kernel.do([rtnetlink.delete_link(DEVICE)], errno.ENODEV)
            yield f"device {DEVICE} removed"
        else:
            kernel.do((rtnetlink.delete_address(each, device.index) for each in going), errno.EADDRNOTAVAIL)
            yield f"{len(going)} addresses of {DEVICE} removed, the others are in --excluded-cidrs"


def _remove_chains() -> Iterator[str]:
    for mode, family in product(Mode, Family):
        iptables = IptablesBackend(mode, Owner.SERVICES)
        try:
            left = tuple(chains_left(iptables.text(family)))
        except BackendError:
            continue  # a node without IPv6, or without this mode
        for each in left:
            iptables.restore(family, each.removal)
            yield from _told(each, f"table {each.table} of {family}, mode {mode}")


def _told(chains: ChainsLeft, where: str) -> Iterator[str]:
    if chains.going:
        yield f"{len(chains.going)} chains removed from {where}"
    if chains.staying:
        yield f"{', '.join(chains.staying)} of {where}: rules of others lead there, so they stay"


def _remove_sets() -> Iterator[str]:
    with closing(IpsetBackend(Owner.SERVICES)) as ipset:
        names = _sets(ipset)
        used = ipset.destroy(names)
    if removed := [name for name in names if name not in used]:
        yield f"{len(removed)} sets removed"
    yield from (f"set {name} stays: {reason}" for name, reason in used.items())


def _sets(ipset: IpsetBackend) -> tuple[str, ...]:
    """Those that are there; none where the kernel has no ipset."""
    try:
        return tuple(sorted(SETS & ipset.all_names()))
    except Unavailable:
        return ()


def tables() -> tuple[Family, ...]:
    """In which its nftables mode left a table; none where the kernel has no nf_tables."""
    try:
        return tuple(each for each in Family if nft.has_table(each, TABLE))
    except Unavailable:
        return ()


def _remove_tables() -> Iterator[str]:
    for family in tables():
        nft.delete_table(family, TABLE)
        yield f"nftables table {TABLE} of {family} removed"
