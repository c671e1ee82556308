"""The firewall marks that stand for ports of direct server return."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from birdctl.addresses import Family, family
from birdctl.services.model import DIRECT_MARK, DIRECT_MARK_MASK, Mark, Port

_SPACE = ~DIRECT_MARK_MASK & 0xFFFF_FFFF


def marks(ports: Collection[Port]) -> dict[Port, Mark]:
    """A mark for each port, from its digest: the same for the same ports in any order.

    Of two ports that want one mark the smaller digest gets it, the other the next free one.
    """
    taken: set[tuple[Family, int]] = set()
    found: dict[Port, Mark] = {}
    for digest, port in sorted(((_digest(port), port) for port in ports), key=lambda pair: pair[0]):
        own, number = family(port.address), digest & _SPACE
        while (own, number) in taken:
            number = (number + 1) & _SPACE
        taken.add((own, number))
        found[port] = Mark(mark=DIRECT_MARK | number, family=own)
    return found


def _digest(port: Port) -> int:
    text = f"{port.address}-{port.protocol}-{port.port}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
