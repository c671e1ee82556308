"""Addresses, prefixes and families: the standard library's `ipaddress` values under the field's names.

An *address* is one host, a *prefix* a network with its length. Text is parsed here and nowhere else; a prefix with
host bits set is refused, never repaired.
"""

from __future__ import annotations

import enum
import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network


class Family(enum.StrEnum):
    """Address family, in the spelling of Kubernetes (`spec.ipFamilies`)."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"

    @property
    def bits(self) -> int:
        """Length of a host prefix: 32 or 128."""
        return 32 if self is Family.IPV4 else 128

    @property
    def number(self) -> int:
        """The kernel's: AF_INET or AF_INET6 (linux/socket.h)."""
        return 2 if self is Family.IPV4 else 10

    @property
    def label(self) -> str:
        """`ipv4` or `ipv6`: BIRD's channel name and the JSON key."""
        return self.value.lower()

    @property
    def digit(self) -> str:
        """`4` or `6`: the last letter of names of one family (`igp4`)."""
        return self.value[-1]


def family(value: Address | Prefix) -> Family:
    return Family.IPV4 if value.max_prefixlen == Family.IPV4.bits else Family.IPV6


def overlap(one: Prefix, other: Prefix) -> bool:
    """Whether they have addresses in common; those of different families have none."""
    return one.version == other.version and one.overlaps(other)


def parse_address(text: str) -> Address:
    """The address in `text`. Raises ValueError with a one-line reason."""
    return ipaddress.ip_address(text)


def unpacked(packed: bytes) -> Address:
    """The address that a kernel's message has in 4 or 16 bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)  # noqa: PLR2004 - bytes of an IPv4 address


def parse_prefix(text: str) -> Prefix:
    """The prefix in `text`; a bare address is its host prefix. Raises ValueError, also when host bits are set."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}{_without_host_bits(text)}") from None


def _without_host_bits(text: str) -> str:
    try:
        return f"; expected {ipaddress.ip_interface(text).network}"
    except ValueError:
        return ""


def parse_span(text: str) -> tuple[Prefix, ...]:
    """The prefixes of `192.0.2.0/26` or of `192.0.2.128-192.0.2.140`. Raises ValueError with a one-line reason."""
    first, dash, last = text.partition("-")
    if not dash:
        return (parse_prefix(text.strip()),)
    low, high = parse_address(first.strip()), parse_address(last.strip())
    if low.version != high.version:
        raise ValueError(f"{text} mixes IPv4 and IPv6")
    if int(low) > int(high):
        raise ValueError(f"{text} ends before it begins")
    return tuple(ipaddress.summarize_address_range(low, high))


def host_prefix(address: Address) -> Prefix:
    """The /32 or /128 of one address."""
    return ipaddress.ip_network(address)


def sort_key(value: Address | Prefix) -> tuple[int, int, int]:
    """Numeric order, IPv4 before IPv6, for values of both families in one list."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value.version, int(value.network_address), value.prefixlen
    return value.version, int(value), value.max_prefixlen
