"""CIDRs as the API takes them: host bits may be set, and leading zeros stand in old objects."""

from __future__ import annotations

import ipaddress
import re

from birdctl.addresses import Prefix
from birdctl.errors import InputError

_LEADING_ZEROS = re.compile(r"(?<![\d:a-fA-F])0+(?=\d)")


def parse_cidr(text: str, ref: str, path: str) -> Prefix:
    """The prefix of `text`. Raises InputError."""
    address, slash, length = text.partition("/")
    if not slash or "%" in address or not length.isascii() or not length.isdigit():
        raise InputError(ref, path, f"{text!r} is not a CIDR such as 10.0.0.0/8")
    if ":" not in address:
        address = _LEADING_ZEROS.sub("", address)
    try:
        return ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        raise InputError(ref, path, f"{text!r} is not a CIDR such as 10.0.0.0/8") from None
