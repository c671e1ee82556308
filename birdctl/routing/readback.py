"""What BIRD's replies mean: daemon, sessions and BFD, as `routing.state` values.

Everything is found by its label, never by its column: versions 2 and 3 pad, order and name columns differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from birdctl.addresses import Address, Family, parse_address
from birdctl.errors import BackendError
from birdctl.routing.protocol import Line, Reply
from birdctl.routing.state import BfdState, BirdStatus, ChannelState, SessionState

_PROTOCOL, _DETAIL, _BFD, _RECOVERY, _VALUE = 1002, 1006, 1020, 24, 23
_DAY = 24 * 3600

# BIRD's words for what RFC 4271 8.2.2 calls otherwise: a passive session waits in Active for the peer to connect.
_RFC_STATE = {"Passive": "Active", "Down": "Idle", "Close": "Idle"}
_FAMILY = {each.label: each for each in Family}

# The three forms of `timeformat`: iso long, its date alone (iso short, older than a day), its time alone.
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?)?|\d\d:\d\d:\d\d(?:\.\d+)?")
_STATUS = re.compile(r"\s*(Router ID|Current server time|Last reboot|Last reconfiguration) (?:is|on) (.*)")


@dataclass(frozen=True, slots=True)
class Clock:
    """`show status`. `now` is BIRD's own clock, to which all other times that it prints refer."""

    status: BirdStatus
    now: datetime


def clock(greeting: str, reply: Reply, digest: str | None) -> Clock:
    """Greeting, `show status` and what `eval BIRDCTL_DIGEST` said. Raises BackendError when there is no time in it."""
    found = {match[1]: match[2] for line in reply.lines if (match := _STATUS.match(line.text))}
    try:
        now = datetime.fromisoformat(found.get("Current server time", ""))
    except ValueError:
        raise BackendError("BIRD's status has no time birdctl can read (timeformat base must be iso)") from None
    status = BirdStatus(
        version=version(greeting),
        router_id=found.get("Router ID", ""),
        uptime=seconds_since(found.get("Last reboot", ""), now) or 0.0,
        last_reconfiguration=found.get("Last reconfiguration", ""),
        digest=digest,
        recovering=reply.text(_RECOVERY) is not None,
    )
    return Clock(status, now)


def version(greeting: str) -> tuple[int, ...]:
    """The numbers of `BIRD 2.0.12 ready.`; empty when there are none."""
    found = re.search(r"BIRD v?(\d+(?:\.\d+)*)", greeting)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def digest(reply: Reply) -> str | None:
    """The answer to `eval BIRDCTL_DIGEST`; None when the running configuration is not ours."""
    return reply.text(_VALUE)


def seconds_since(text: str, now: datetime) -> float | None:
    """Age of a time in any form that BIRD prints; a bare date has the precision of a day. None when it is none."""
    try:
        if "-" in text:
            return max((now - datetime.fromisoformat(text)).total_seconds(), 0.0)
        today = datetime.fromisoformat(f"{now:%Y-%m-%d} {text}")
    except ValueError:
        return None
    return (now - today).total_seconds() % _DAY


def sessions(lines: Iterable[Line], now: datetime) -> tuple[SessionState, ...]:
    """Every BGP session of `show protocols all`. An unnumbered peer is its neighbour's session once there is one."""
    found = [_session(block, now) for block in _blocks(lines) if block.kind == "BGP"]
    origins = set(_origins({each.protocol for each in found}).values())
    return tuple(each for each in found if each.protocol not in origins)


def established(lines: Iterable[Line]) -> frozenset[str]:
    """Names of the BGP protocols that `show protocols` calls up: those whose session is Established.

    With the session of an unnumbered peer's neighbour, `tor1_1`, the peer's protocol `tor1` is up too.
    """
    blocks = (_heading(line.text) for line in lines if line.code == _PROTOCOL)
    up = {block.name: block.state == "up" for block in blocks if block.kind == "BGP"}
    origins = _origins(up)
    names = [name for name, is_up in up.items() if is_up]
    return frozenset(names) | {origins[name] for name in names if name in origins}


def _origins(protocols: Collection[str]) -> dict[str, str]:
    """Which of these BIRD made for a neighbour, and from which other one (see `inventory.of_protocol`)."""
    candidates = ((name, name.rstrip("0123456789").removesuffix("_")) for name in protocols)
    return {name: origin for name, origin in candidates if origin != name and origin in protocols}


def bfd(lines: Iterable[Line], now: datetime) -> tuple[BfdState, ...]:
    """Every session of `show bfd sessions`."""
    columns: list[str] = []
    found = []
    for line in lines:
        if line.text.lstrip().startswith("IP address"):
            columns = line.text.replace("IP address", "address").lower().split()
        elif columns and line.code == _BFD and len(line.text.split()) >= len(columns):
            found.append(_bfd(line.text, columns, now))
    return tuple(found)


def _bfd(text: str, columns: list[str], now: datetime) -> BfdState:
    since = _TIME.search(text)
    words = dict(zip(columns, _TIME.sub("-", text, count=1).split(), strict=False))
    address, interface = _neighbor(words["address"])
    return BfdState(
        address=parse_address(str(address)),
        interface=words["interface"].strip("-") or interface or "",
        state=words["state"].lower(),
        since=seconds_since(since[0], now) if since else None,
        interval=float(words["interval"]),
        timeout=float(words["timeout"]),
    )


@dataclass(slots=True)
class _Block:
    """One protocol: the words of its line, and `label: value` of itself and of every channel."""

    name: str
    kind: str
    state: str
    since: str
    labels: dict[str, str] = field(default_factory=dict)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)


def _blocks(lines: Iterable[Line]) -> Iterator[_Block]:
    block: _Block | None = None
    labels: dict[str, str] = {}
    for line in lines:
        if line.code == _PROTOCOL:
            if block:
                yield block
            block = _heading(line.text)
            labels = block.labels
        elif line.code == _DETAIL and block:
            label, colon, value = line.text.strip().partition(":")
            if colon:
                labels.setdefault(label, value.strip())
            elif label.startswith("Channel "):
                labels = block.channels.setdefault(label.removeprefix("Channel "), {})
    if block:
        yield block


def _heading(text: str) -> _Block:
    name, kind, _table, state, rest = [*text.split(maxsplit=4), ""][:5]
    since = _TIME.match(rest)
    return _Block(name, kind, state, since[0] if since else "")


def _session(block: _Block, now: datetime) -> SessionState:
    labels = block.labels
    word = labels.get("BGP state", "Down")
    address, interface = _neighbor(labels.get("Neighbor address", ""))
    return SessionState(
        protocol=block.name,
        state=_RFC_STATE.get(word, word),
        bird_state=word,
        address=address,
        interface=interface,
        remote_asn=_number(labels.get("Neighbor AS", "")) or 0,
        local_asn=_number(labels.get("Local AS", "")) or 0,
        router_id=labels.get("Neighbor ID", ""),
        uptime=seconds_since(block.since, now) if word == "Established" else None,
        hold_time=_number(labels.get("Hold timer", "").partition("/")[2]),
        last_error=labels.get("Last error", ""),
        end_of_rib=word == "Established" and all(map(_exchanged, block.channels.values())),
        channels=tuple(_channel(_FAMILY[name], each) for name, each in block.channels.items() if name in _FAMILY),
    )


def _exchanged(channel: dict[str, str]) -> bool:
    """Up, fed (BIRD 3 says when), and no longer waiting for the peer's End-of-RIB after a restart of BIRD."""
    return (
        channel.get("State") == "UP"
        and channel.get("Export state", "READY") != "FEEDING"
        and not channel.get("GR recovery")
    )


def _channel(family: Family, labels: dict[str, str]) -> ChannelState:
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", labels.get("Routes", ""))}
    accepted, filtered = counts.get("imported", 0), counts.get("filtered", 0)
    return ChannelState(
        family=family,
        received=accepted + filtered,
        filtered=filtered,
        accepted=accepted,
        advertised=counts.get("exported", 0),
        limit=_number(labels.get("Import limit", "")),
    )


def _neighbor(text: str) -> tuple[Address | None, str | None]:
    """`fe80::1%eth0` in its two parts."""
    address, _, interface = text.partition("%")
    return parse_address(address) if address else None, interface or None


def _number(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None
