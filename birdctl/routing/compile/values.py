"""Reading the values that objects carry as text or number. Every function raises ValueError with a one-line reason.

Reasons never repeat a password.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable

from birdctl import values
from birdctl.addresses import Address, Family, Prefix, family, parse_address, parse_prefix
from birdctl.cluster.bgp import PrefixRule
from birdctl.routing.model import PrefixPattern
from birdctl.secret import Secret

# RFC 1997, 3765, 7611, 7999, 8326, 9494.
WELL_KNOWN = {
    "graceful-shutdown": (65535, 0),
    "accept-own": (65535, 1),
    "llgr-stale": (65535, 6),
    "no-llgr": (65535, 7),
    "blackhole": (65535, 666),
    "no-export": (65535, 65281),
    "no-advertise": (65535, 65282),
    "no-export-subconfed": (65535, 65283),
    "no-peer": (65535, 65284),
}
MOST_PREPENDS = 64
_LARGEST = 2**32 - 1
_LONGEST_MD5_KEY = 80  # TCP_MD5SIG_MAXKEYLEN, linux/tcp.h
_LONGEST_INTERFACE = 15  # IFNAMSIZ, linux/if.h
_RESERVED = ((0, 0), (23456, 23456), (64000, 64511), (65535, 131071), (_LARGEST, _LARGEST))
_PRIVATE = ((64512, 65534), (4200000000, 4294967294))  # RFC 6996

Community = tuple[int, int]
LargeCommunity = tuple[int, int, int]


def between(number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise ValueError(f"{number} is not between {low} and {high}")
    return number


def number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a number")
    return between(int(text), low, high)


def asn(value: int) -> int:
    """An ASN a peer can have: not reserved, not of documentation (IANA's registry)."""
    between(value, 1, _LARGEST)
    if any(low <= value <= high for low, high in _RESERVED):
        expected = "1-23455, 23457-63999, 64512-65534 or 131072-4294967294"
        raise ValueError(f"{value} is a reserved ASN (IANA); expected {expected}")
    return value


def private_asn(value: int) -> int:
    if not any(low <= value <= high for low, high in _PRIVATE):
        raise ValueError(f"{value} is not a private ASN; expected 64512-65534 or 4200000000-4294967294 (RFC 6996)")
    return value


def asn_text(text: str) -> int:
    return asn(number(text, 0, _LARGEST))


def unicast(text: str) -> Address:
    """An address that one host can have."""
    address = parse_address(text)
    if address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"):
        raise ValueError(f"{text} is not the address of a host")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise ValueError(f"{text}: give the interface in its own field")
    return address


def seconds(text: str, low: int, high: int) -> int:
    """Whole seconds of a duration as `90s` or `1h`."""
    length = _duration(text)
    if length != int(length):
        raise ValueError(f"{text} is not a whole number of seconds")
    if not low <= length <= high:
        raise ValueError(f"{text} is not between {low}s and {high}s")
    return int(length)


def milliseconds(text: str, low: int, high: int) -> int:
    length = round(_duration(text) * 1000)
    if not low <= length <= high:
        raise ValueError(f"{text} is not between {low}ms and {high}ms")
    return length


def _duration(text: str) -> float:
    try:
        return values.parse_duration(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a duration; expected as 90s, 300ms or 1h") from None


def cluster_id(text: str) -> str:
    """A route reflector's cluster ID, a number or an IPv4 address, in dotted form (RFC 4456)."""
    try:
        identifier = ipaddress.IPv4Address(int(text) if text.isdigit() else text)
    except ValueError:
        raise ValueError(f"{text!r} is not a cluster ID; expected an IPv4 address or a number of 32 bits") from None
    if not int(identifier):
        raise ValueError("a cluster ID of 0 is not usable")
    return str(identifier)


def communities(texts: Iterable[str]) -> tuple[tuple[Community, ...], tuple[LargeCommunity, ...]]:
    """Standard and large communities of texts as `64512:100`, `64512:1:2`, `no-export`; sorted, each once."""
    standard: set[Community] = set()
    large: set[LargeCommunity] = set()
    for text in texts:
        match _community(text):
            case (high, low):
                standard.add((high, low))
            case (administrator, first, second):
                large.add((administrator, first, second))
    return tuple(sorted(standard)), tuple(sorted(large))


def _community(text: str) -> Community | LargeCommunity:
    known = WELL_KNOWN.get(text.lower().replace("_", "-"))
    if known:
        return known
    try:
        match [number(part, 0, _LARGEST) for part in text.split(":")]:
            case [whole]:
                return whole >> 16, whole & 0xFFFF
            case [high, low]:
                return between(high, 0, 65535), between(low, 0, 65535)
            case [administrator, first, second]:
                return administrator, first, second
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a community; expected as 64512:100, 64512:1:2 or no-export")


def pattern(rule: PrefixRule) -> PrefixPattern:
    """An allow-list entry; without lengths exactly its prefix, with only one of them up to or down to the end."""
    network = parse_prefix(rule.prefix)
    low, high = rule.min_length, rule.max_length
    if low is None:
        low = network.prefixlen
    if high is None:
        high = network.prefixlen if rule.min_length is None else network.max_prefixlen
    if not network.prefixlen <= low <= high <= network.max_prefixlen:
        raise ValueError(f"lengths {low} to {high} do not lie between {network.prefixlen} and {network.max_prefixlen}")
    return PrefixPattern(prefix=network, min_length=low, max_length=high)


def base64_password(text: str) -> Secret:
    try:
        return password(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error:
        raise ValueError("the password is not base64") from None


def password(content: bytes) -> Secret:
    """A password BIRD's grammar and the kernel (RFC 2385) can hold."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("the password is not UTF-8 text") from None
    if not text:
        raise ValueError("the password is empty")
    if text.endswith("\n"):
        raise ValueError("the password ends with a line break; encode it without one, as with `printf`")
    if '"' in text or not text.isprintable():
        raise ValueError("the password has a quote or a control character, which BIRD cannot hold")
    if len(content) > _LONGEST_MD5_KEY:
        raise ValueError(f"the password is longer than {_LONGEST_MD5_KEY} bytes")
    return Secret(text)


def interface(text: str) -> str:
    """A network interface's name."""
    if (
        not 0 < len(text) <= _LONGEST_INTERFACE
        or not text.isascii()
        or not text.isprintable()
        or set(text) & set('/": *?')
    ):
        raise ValueError(f"{text!r} is not an interface name")
    return text


def same_family(one: Address, other: Address) -> Family:
    if one.version != other.version:
        raise ValueError(f"{one} and {other} are of different families")
    return family(one)


def network_of(address: Address, length: int) -> Prefix:
    """The prefix of `length` that `address` lies in."""
    spare = address.max_prefixlen - length
    network = int(address) >> spare << spare
    return (
        ipaddress.IPv4Network((network, length))
        if isinstance(address, ipaddress.IPv4Address)
        else ipaddress.IPv6Network((network, length))
    )
