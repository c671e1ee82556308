"""Sets as `ipset save` prints them, for `ipset restore`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdctl.addresses import Family
from birdctl.netfilter.model import Entry, IpSet, Net, Port

_FAMILIES = {Family.IPV4: "inet", Family.IPV6: "inet6"}


def sets_text(sets: Mapping[str, IpSet]) -> str:
    """All sets by name, each with its entries in order."""
    return "".join(f"{line}\n" for name in sorted(sets) for line in _lines(sets[name]))


def _lines(each: IpSet) -> Iterator[str]:
    timeout = "" if each.timeout is None else f" timeout {each.timeout}"
    yield f"create {each.name} {each.type} family {_FAMILIES[each.family]} maxelem {each.max_entries}{timeout}"
    yield from (f"add {each.name} {text}" for text in sorted(map(_entry, each.entries)))


def _entry(entry: Entry) -> str:
    match entry:
        case Net():
            return f"{entry.prefix}{' nomatch' if entry.excluded else ''}"
        case Port():
            return f"{entry.address},{entry.protocol}:{entry.port}{f',{entry.peer}' if entry.peer else ''}"
    return str(entry)
