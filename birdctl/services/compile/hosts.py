"""Addresses that one host can have and others reach."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from birdctl.addresses import Address, Family, family, parse_address

_BROADCAST = IPv4Address("255.255.255.255")


@lru_cache(maxsize=1 << 16)
def host(text: str) -> Address:
    """The address in `text`, the same value each time. Raises ValueError for what the API allows no endpoint to be."""
    address = parse_address(text)
    if (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address == _BROADCAST
    ):
        raise ValueError(f"{text} is unspecified, loopback, link-local, multicast or broadcast; expected a host's")
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError(f"{text} has a zone or stands for an IPv4 address; expected a plain IPv6 address")
    return address


def host_of(text: str, expected: Family) -> Address:
    """A host's address of one family. Raises ValueError."""
    address = host(text)
    if family(address) is not expected:
        raise ValueError(f"{text} is not {expected}")
    return address
