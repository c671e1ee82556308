"""BIRD symbols, made from the name of the object they belong to and never from an index.

Every kind of symbol begins with its own word (`node_`, `peer_`, `in4_`, `services_`…), so that no object's name can
collide with a keyword, a table or another kind. BIRD: letters, digits and underscores, at most 64 characters.
"""

from __future__ import annotations

import hashlib
import re

from birdctl.addresses import Family

_LONGEST = 44
_FOREIGN = re.compile(r"[^A-Za-z0-9_]")


def symbol(kind: str, name: str) -> str:
    """`kind` and `name` as one symbol; a short hash tells apart names that had to be changed to fit."""
    readable = _FOREIGN.sub("_", name)[:_LONGEST]
    if readable == name:
        return f"{kind}_{name}"
    return f"{kind}_{readable}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def digit(family: Family) -> str:
    """4 or 6: what distinguishes the symbols of the two families."""
    return "4" if family is Family.IPV4 else "6"
