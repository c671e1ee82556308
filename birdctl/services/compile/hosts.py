"""Addresses that one host can have and others reach."""

from __future__ import annotations

from functools import lru_cache

from birdctl.addresses import Address, Family, family, parse_address


@lru_cache(maxsize=1 << 16)
def host(text: str) -> Address:
    """The address in `text`, the same value each time. Raises ValueError for what the API allows no endpoint to be."""
    address = parse_address(text)
    if address.is_unspecified or address.is_loopback or address.is_link_local or address.is_multicast:
        raise ValueError(f"{text} is an unspecified, loopback, link-local or multicast address; expected a host's")
    if "%" in text:
        raise ValueError(f"{text} has a zone; expected an address without")
    return address


def host_of(text: str, expected: Family) -> Address:
    """A host's address of one family. Raises ValueError."""
    address = host(text)
    if family(address) is not expected:
        raise ValueError(f"{text} is not {expected}")
    return address
