"""What iptables-nft's programs do not tell: whether the kernel has nf_tables, or tables there, and the counters of
single chains.

iptables-save prints whole tables; netlink costs few enough microseconds for every change. Constants are those of
include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from socket import AF_INET, AF_INET6

from birdctl.addresses import Family
from birdctl.netfilter.model import Counts, TableName
from birdctl.netfilter.netlink import Message, Netlink, attribute

_GET_TABLE, _GET_RULE = 10 << 8 | 1, 10 << 8 | 7
_TABLE, _CHAIN, _EXPRESSION_NAME = 1, 2, 1
_FAMILIES = {Family.IPV4: int(AF_INET), Family.IPV6: int(AF_INET6)}
_COUNTER = attribute(_EXPRESSION_NAME, b"counter\0")
_VALUES = struct.Struct(">8xQ4xQ")
"""What follows the expression's name: the header of its data, bytes and packets, each behind a header."""


def in_kernel() -> bool:
    """Whether the kernel has nf_tables. Raises Unavailable."""
    return _tables() is not None


def has_tables() -> bool:
    """Whether there are any in this network namespace. Raises Unavailable."""
    return bool(_tables())


def _tables() -> list[bytes] | None:
    try:
        with Netlink("nftables") as kernel:
            return list(kernel.dump(Message(_GET_TABLE, b"")))
    except OSError:
        return None


def read(family: Family, table: TableName, names: Collection[str]) -> Iterator[tuple[str, Counts]]:
    """Packets and bytes of the rules of each chain that is there, in order. Raises Unavailable."""
    with Netlink("nftables") as kernel:
        for name in names:
            body = attribute(_TABLE, table.encode() + b"\0") + attribute(_CHAIN, name.encode() + b"\0")
            with suppress(OSError):
                rules = kernel.dump(Message(_GET_RULE, body, family=_FAMILIES[family]))
                yield name, tuple(map(_values, rules))


def _values(rule: bytes) -> tuple[int, int]:
    """The counter stands behind the matches, whose data may be anything."""
    size, packets = _VALUES.unpack_from(rule, rule.rindex(_COUNTER) + len(_COUNTER))
    return packets, size
