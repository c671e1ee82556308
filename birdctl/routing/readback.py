"""What BIRD's replies mean: daemon, sessions and BFD, as `routing.state` values.

Everything is found by its label, never by its column: versions 2 and 3 pad, order and name columns differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from birdctl.addresses import Family, parse_address
from birdctl.routing.protocol import Line, Reply
from birdctl.routing.state import BfdState, BirdStatus, ChannelState, SessionState

# BIRD's words for what RFC 4271 8.2.2 calls otherwise: a passive session waits in Active for the peer to connect.
_RFC_STATE = {"Passive": "Active", "Down": "Idle", "Close": "Idle"}

_SINCE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?)?|\d\d:\d\d:\d\d(?:\.\d+)?")


def version(greeting: str) -> tuple[int, ...]:
    """The numbers of `BIRD 2.0.12 ready.`"""
    found = re.search(r"BIRD v?(\d+(?:\.\d+)*)", greeting)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def seconds_since(since: str, now: datetime) -> float | None:
    """Age of a time that BIRD prints in any of its formats; a bare date has the precision of a day."""
    try:
        if "-" in since:
            then = datetime.fromisoformat(since)
        else:
            then = datetime.combine(now.date(), datetime.fromisoformat(f"{now.date()}T{since}").time())
    except ValueError:
        return None
    age = (now - then).total_seconds()
    return age % 86400 if "-" not in since else max(age, 0.0)


@dataclass(frozen=True, slots=True)
class Clock:
    """`show status`: `now` is BIRD's own clock, to which its other times refer."""

    status: BirdStatus
    now: datetime


def clock(greeting: str, reply: Reply, digest: str | None) -> Clock:
    """`show status`, with what `eval BIRDCTL_DIGEST` said."""
    labels = {}
    for line in reply.lines:
        for label in ("Router ID is", "Current server time is", "Last reboot on", "Last reconfiguration on"):
            if (text := line.text.strip()).startswith(label):
                labels[label] = text.removeprefix(label).strip()
    now = datetime.fromisoformat(labels["Current server time is"])
    return Clock(
        BirdStatus(
            version=version(greeting),
            router_id=labels.get("Router ID is", ""),
            uptime=seconds_since(labels.get("Last reboot on", ""), now) or 0.0,
            last_reconfiguration=labels.get("Last reconfiguration on", ""),
            digest=digest,
            recovering=reply.text(24) is not None,
        ),
        now,
    )


def digest(reply: Reply) -> str | None:
    """The answer to `eval BIRDCTL_DIGEST`; None when the running configuration is not ours."""
    return reply.text(23)


@dataclass(slots=True)
class _Block:
    """One protocol of `show protocols all`."""

    name: str
    kind: str
    state: str
    since: str
    info: str
    labels: dict[str, str] = field(default_factory=dict)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)


def _blocks(lines: Iterable[Line]) -> Iterator[_Block]:
    block: _Block | None = None
    labels: dict[str, str] = {}
    for line in lines:
        if line.code == 1002:
            if block:
                yield block
            block = _heading(line.text)
            labels = block.labels
        elif line.code == 1006 and block:
            text = line.text.strip()
            if text.startswith("Channel "):
                labels = block.channels.setdefault(text.removeprefix("Channel "), {})
            else:
                label, _, value = text.partition(":")
                labels.setdefault(label, value.strip())
    if block:
        yield block


def _heading(text: str) -> _Block:
    name, kind, _table, state, rest = [*text.split(maxsplit=4), ""][:5]
    since = _SINCE.match(rest)
    return _Block(name, kind, state, since[0] if since else "", rest[since.end() if since else 0 :].strip())


def sessions(lines: Iterable[Line], now: datetime) -> tuple[SessionState, ...]:
    """Every BGP protocol of `show protocols all`."""
    return tuple(_session(block, now) for block in _blocks(lines) if block.kind == "BGP")


def _session(block: _Block, now: datetime) -> SessionState:
    labels = block.labels
    word = labels.get("BGP state", "Down")
    address, _, interface = labels.get("Neighbor address", "").partition("%")
    return SessionState(
        protocol=block.name,
        state=_RFC_STATE.get(word, word),
        bird_state=word,
        address=parse_address(address) if address else None,
        interface=interface or None,
        remote_asn=int(labels.get("Neighbor AS", 0)),
        local_asn=int(labels.get("Local AS", 0)),
        router_id=labels.get("Neighbor ID", ""),
        uptime=seconds_since(block.since, now) if block.state == "up" else None,
        flaps=_number(labels.get("FSM established transitions", "")) or 0,
        hold_time=_number(labels.get("Hold timer", "").partition("/")[2]),
        last_error=labels.get("Last error", ""),
        end_of_rib=word == "Established" and all(each.get("State") == "UP" for each in block.channels.values()),
        channels=tuple(
            _channel(Family(name.replace("ip", "IP")), each)
            for name, each in block.channels.items()
            if name in ("ipv4", "ipv6")
        ),
    )


def _channel(family: Family, labels: dict[str, str]) -> ChannelState:
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", labels.get("Routes", ""))}
    imported, filtered = counts.get("imported", 0), counts.get("filtered", 0)
    return ChannelState(
        family=family,
        received=imported + filtered,
        filtered=filtered,
        accepted=imported,
        advertised=counts.get("exported", 0),
        limit=_number(labels.get("Import limit", "")),
    )


def _number(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def established(lines: Iterable[Line]) -> frozenset[str]:
    """Names of the BGP protocols that are up, from the brief `show protocols`: BIRD calls a BGP protocol up when its
    session is Established."""
    headings = (_heading(line.text) for line in lines if line.code == 1002)
    return frozenset(each.name for each in headings if each.kind == "BGP" and each.state == "up")


def bfd(lines: Iterable[Line], now: datetime) -> tuple[BfdState, ...]:
    """`show bfd sessions`."""
    found = []
    for line in lines:
        words = line.text.split()
        if len(words) < 5 or not _is_address(words[0]):
            continue
        since = _SINCE.search(line.text)
        interval, timeout = words[-2:]
        found.append(
            BfdState(
                address=parse_address(words[0]),
                interface="" if words[1] == "---" else words[1],
                state=words[2].lower(),
                since=seconds_since(since[0], now) if since else None,
                interval=float(interval),
                timeout=float(timeout),
            )
        )
    return tuple(found)


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True
