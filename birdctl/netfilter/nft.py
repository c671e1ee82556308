"""What iptables-nft's programs do not tell: whether the kernel has nf_tables, or tables there, and the counters of
single chains. And what they leave alone: tables of others.

iptables-save prints whole tables; netlink costs few enough microseconds for every change. Constants are those of
include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.netfilter.model import Counts, TableName
from birdctl.netfilter.netlink import Message, Netlink, attribute, attributes

_GET_TABLE, _DELETE_TABLE, _GET_RULE = 10 << 8 | 1, 10 << 8 | 2, 10 << 8 | 7
_TABLE, _CHAIN, _EXPRESSION_NAME = 1, 2, 1
_COUNTER = attribute(_EXPRESSION_NAME, b"counter\0")
_VALUES = struct.Struct(">8xQ4xQ")
"""What follows the expression's name: the header of its data, bytes and packets, each behind a header."""


def in_kernel() -> bool:
    """Whether the kernel has nf_tables. Raises Unavailable."""
    return _tables() is not None


def has_tables() -> bool:
    """Whether there are any in this network namespace. Raises Unavailable."""
    return bool(_tables())


def has_table(family: Family, name: str) -> bool:
    """Whether there is one of that family (`ip`, `ip6`) and name. Raises Unavailable."""
    found = _tables(family.number) or ()
    return any(attributes(each)[_TABLE] == _text(name) for each in found)


def delete_table(family: Family, name: str) -> None:
    """With everything in it. Raises BackendError when the kernel refuses, Unavailable."""
    message = Message(_DELETE_TABLE, attribute(_TABLE, _text(name)), family=family.number)
    with Netlink("nftables") as kernel:
        if number := kernel.transaction(message):
            raise BackendError(f"nftables table {name} of {family}: {os.strerror(number)}")


def _tables(family: int = 0) -> list[bytes] | None:
    try:
        with Netlink("nftables") as kernel:
            return list(kernel.dump(Message(_GET_TABLE, b"", family=family)))
    except OSError:
        return None


def _text(word: str) -> bytes:
    return word.encode() + b"\0"


def read(family: Family, table: TableName, names: Collection[str]) -> Iterator[tuple[str, Counts]]:
    """Packets and bytes of the rules of each chain that is there, in order. Raises Unavailable."""
    with Netlink("nftables") as kernel:
        for name in names:
            body = attribute(_TABLE, _text(table)) + attribute(_CHAIN, _text(name))
            with suppress(OSError):
                rules = kernel.dump(Message(_GET_RULE, body, family=family.number))
                yield name, tuple(map(_values, rules))


def _values(rule: bytes) -> tuple[int, int]:
    """The counter stands behind the matches, whose data may be anything."""
    size, packets = _VALUES.unpack_from(rule, rule.rindex(_COUNTER) + len(_COUNTER))
    return packets, size
