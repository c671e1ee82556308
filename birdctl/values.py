"""The kinds of value a setting can have: how each is read from text, shown, and named in an error."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Generic, TypeVar

from birdctl.addresses import Address, Prefix, parse_address, parse_prefix
from birdctl.secret import Secret

T = TypeVar("T")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """One kind of value. `parse` raises ValueError; `expected` completes the sentence "'x' is not …"."""

    placeholder: str
    expected: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = str
    many: bool = False
    secret: bool = False


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `5m`, `1h30m`, `300ms`; a bare `0` is zero. Raises ValueError."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def show_duration(seconds: float) -> str:
    """The shortest text `parse_duration` reads back."""
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    parts = [(int(seconds) // 3600, "h"), (int(seconds) % 3600 // 60, "m"), (int(seconds) % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def _parse_boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "t", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "f", "no", "off"):
        return False
    raise ValueError


def _parse_integer(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        raise ValueError
    return int(text)


def _parse_port_range(text: str) -> tuple[int, int]:
    low, _, high = text.replace(":", "-").partition("-")
    first, last = (_parse_integer(each, 1, 65535) for each in (low, high))
    if first > last:
        raise ValueError
    return first, last


def _parse_router_id(text: str) -> str:
    if text in ("", "generate"):
        return text
    address = IPv4Address(text)
    if not int(address):
        raise ValueError
    return str(address)


def _parse_listen(text: str) -> str:
    return str(parse_address(text)) if text else ""


def _parse_password(text: str) -> Secret:
    try:
        return Secret(base64.b64decode(text, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError from None


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: parse(text) if text else None


def _many(parse: Callable[[str], T], placeholder: str, expected: str, *, secret: bool = False) -> Kind[tuple[T, ...]]:
    return Kind(
        placeholder=f"{placeholder},…",
        expected=f"a comma list of {expected}",
        parse=lambda text: tuple(parse(item) for item in _items(text)),
        show=lambda found: ",".join("" if item is None else str(item) for item in found),
        many=True,
        secret=secret,
    )


def integer(low: int, high: int, placeholder: str = "N") -> Kind[int]:
    return Kind(
        placeholder=placeholder,
        expected=f"an integer from {low} to {high}",
        parse=lambda text: _parse_integer(text, low, high),
    )


def duration_between(low: int, high: int) -> Kind[float]:
    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if not low <= seconds <= high:
            raise ValueError
        return seconds

    expected = f"a duration from {show_duration(low)} to {show_duration(high)}"
    return Kind(placeholder="DURATION", expected=expected, parse=parse, show=show_duration)


def one_of(*words: str) -> Kind[str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return Kind(placeholder="|".join(words), expected=f"one of {', '.join(words)}", parse=parse)


def _parse_file(text: str) -> Path | None:
    return Path(text) if text else None


def _parse_url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if text and not (scheme in ("http", "https") and separator and rest.strip("/")):
        raise ValueError
    return text.rstrip("/")


URL: Kind[str] = Kind(placeholder="URL", expected="a URL as https://10.0.0.1:6443", parse=_parse_url)
TEXT: Kind[str] = Kind(placeholder="NAME", expected="a name", parse=str)
FILE: Kind[Path | None] = Kind(
    placeholder="PATH", expected="a path", parse=_parse_file, show=lambda path: "" if path is None else str(path)
)
BOOLEAN: Kind[bool] = Kind(
    placeholder="true|false",
    expected="true or false",
    parse=_parse_boolean,
    show=lambda value: str(value).lower(),
)
DURATION: Kind[float] = Kind(
    placeholder="DURATION", expected="a duration as 90s, 5m, 1h30m or 300ms", parse=parse_duration, show=show_duration
)
PORT = integer(1, 65535, "PORT")
OPTIONAL_PORT = integer(0, 65535, "PORT")
PORT_RANGE: Kind[tuple[int, int]] = Kind(
    placeholder="FIRST-LAST",
    expected="a range of ports as 30000-32767",
    parse=_parse_port_range,
    show=lambda ends: f"{ends[0]}-{ends[1]}",
)
ASN = integer(1, 2**32 - 2, "ASN")
ROUTER_ID: Kind[str] = Kind(placeholder="ID", expected="an IPv4 address or generate", parse=_parse_router_id)
LISTEN: Kind[str] = Kind(placeholder="ADDRESS", expected="an address", parse=_parse_listen)
ADDRESSES: Kind[tuple[Address, ...]] = _many(parse_address, "ADDRESS", "addresses")
PREFIXES: Kind[tuple[Prefix, ...]] = _many(parse_prefix, "PREFIX", "prefixes as 10.96.0.0/12")
ASNS: Kind[tuple[int, ...]] = _many(ASN.parse, "ASN", "ASNs")
PORTS: Kind[tuple[int | None, ...]] = _many(_optional(PORT.parse), "PORT", "ports")
PASSWORDS: Kind[tuple[Secret | None, ...]] = _many(
    _optional(_parse_password), "BASE64", "passwords in base64", secret=True
)
