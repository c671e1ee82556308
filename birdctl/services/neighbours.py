"""Who is behind which port of a bridge, over netlink: neighbour tables and forwarding databases.

Names and numbers are those of rtnetlink(7), linux/neighbour.h and linux/if_link.h.
"""

from __future__ import annotations

import struct
from socket import AF_BRIDGE, AF_UNSPEC

from birdctl.addresses import Address, family, unpacked
from birdctl.netfilter.netlink import NLM_F_CREATE, Message, attribute, attributes, nested
from birdctl.netfilter.rtnetlink import RouteMessage, RouteNetlink

_SETLINK, _NEWNEIGH, _GETNEIGH = 19, 28, 30
_LINK, _NEIGHBOUR, _INT = struct.Struct("=BxHiII"), struct.Struct("=BxxxiHBB"), struct.Struct("=i")
_NDA_DST, _NDA_LLADDR, _NDA_IFINDEX, _NDA_MASTER = 1, 2, 8, 9
_NUD_PROBE, _NTF_USE, _NLM_F_REPLACE = 0x10, 0x01, 0x100
_IFLA_PROTINFO, _IFLA_BRPORT_MODE = 12, 4


def macs(kernel: RouteNetlink, interface: int) -> dict[Address, bytes]:
    """Of the neighbours on an interface that have said theirs."""
    body = _NEIGHBOUR.pack(AF_UNSPEC, 0, 0, 0, 0) + attribute(_NDA_IFINDEX, _INT.pack(interface))
    replies = (attributes(reply, _NEIGHBOUR.size) for reply in kernel.dump(RouteMessage(_GETNEIGH, body)))
    return {unpacked(found[_NDA_DST]): found[_NDA_LLADDR] for found in replies if _NDA_LLADDR in found}


def ports(kernel: RouteNetlink, bridge: int) -> dict[bytes, int]:
    """By MAC address, the port behind which it was seen."""
    body = _NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0) + attribute(_NDA_MASTER, _INT.pack(bridge))
    return {
        attributes(reply, _NEIGHBOUR.size)[_NDA_LLADDR]: _NEIGHBOUR.unpack_from(reply)[1]
        for reply in kernel.dump(RouteMessage(_GETNEIGH, body))
    }


def probe(neighbour: Address, interface: int, mac: bytes | None) -> Message:
    """Asks the neighbour who it is, so that the bridge sees where its answer comes from."""
    state, flags = (_NUD_PROBE, 0) if mac else (0, _NTF_USE)
    body = _NEIGHBOUR.pack(family(neighbour).number, interface, state, flags, 0) + attribute(_NDA_DST, neighbour.packed)
    return RouteMessage(_NEWNEIGH, body + (attribute(_NDA_LLADDR, mac) if mac else b""), _NLM_F_REPLACE | NLM_F_CREATE)


def hairpin(port: int) -> Message:
    """Lets the port send packets back where they came from."""
    body = _LINK.pack(AF_BRIDGE, 0, port, 0, 0) + nested(_IFLA_PROTINFO, attribute(_IFLA_BRPORT_MODE, b"\1"))
    return RouteMessage(_SETLINK, body)
