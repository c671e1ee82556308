"""Names of sets and chains: digests of what they mean or contain, so that another meaning is another name.

ipset takes 31 characters and iptables 28; a digest has 16 hexadecimal digits. Parts are hashed with their lengths, so
no two lists of parts read alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from birdctl.addresses import Family
from birdctl.netfilter.model import Rule
from birdctl.policies.model import CHAIN_PREFIX, SET_PREFIX, Direction

_LONGEST_SET_NAME = 31
SHORT = {Direction.INGRESS: "IN", Direction.EGRESS: "EG"}

POLICY = f"{CHAIN_PREFIX}POLICY"
CUT_SECONDS = 300
"""Longer than a TCP pauses that waits for an answer: Linux tries again after at most 120 seconds."""


def direction_chain(direction: Direction) -> str:
    return f"{CHAIN_PREFIX}{SHORT[direction]}"


def direction_of(chain: str) -> Direction:
    """Of one of our chains, except POLICY, which is of neither."""
    words = chain.split("-")[1:3]
    return next(direction for direction, each in SHORT.items() if each in words)


def rest_chain(direction: Direction) -> str:
    """The chain for addresses that do not lead to rules digit by digit."""
    return f"{CHAIN_PREFIX}REST-{SHORT[direction]}"


def refusing_chain(direction: Direction) -> str:
    """The chain where connections end that a pod's NetworkPolicies do not allow."""
    return f"{CHAIN_PREFIX}DENY-{SHORT[direction]}"


def logging_chain(direction: Direction) -> str:
    """The chain that tells whose NetworkPolicies refuse a packet."""
    return f"{CHAIN_PREFIX}LOG-{SHORT[direction]}"


def cut_set(family: Family) -> str:
    """Of connections cut in the last CUT_SECONDS: a set with another timeout is another set."""
    return f"{SET_PREFIX}cut{family.digit}-{CUT_SECONDS}"


def set_name(kind: str, family: Family, parts: Iterable[str]) -> str:
    """`kind` has at most six letters."""
    return f"{SET_PREFIX}{kind}{family.digit}-{digest(parts)}"


def chain_name(direction: Direction, rules: Iterable[Rule]) -> str:
    return f"{CHAIN_PREFIX}{SHORT[direction]}-{digest(map(repr, rules))}"


def digest(parts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode()
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.hexdigest()[:16]


def another_name(name: str, mark: str) -> str:
    """For a set that has to be there beside the one of its name; `mark` is one character."""
    return name[: _LONGEST_SET_NAME - 1] + mark
