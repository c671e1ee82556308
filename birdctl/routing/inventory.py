"""The names behind a configuration: what `show` needs to call a BIRD protocol by the name people use.

Written into the runtime directory with every commit; holds no secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from birdctl.errors import BackendError
from birdctl.routing.model import BirdConfig, Originated, PeerType, Session

T = TypeVar("T")


class SessionNames(msgspec.Struct, frozen=True, kw_only=True):
    """One `protocol bgp`, as it was meant. `address` is absent for an unnumbered peer; `limits` are import limits."""

    peer: str
    type: PeerType
    origin: str
    remote_asn: int
    local_asn: int
    address: str | None = None
    local_address: str | None = None
    interface: str | None = None
    families: tuple[str, ...] = ()
    bfd: bool = False
    limits: dict[str, int] = {}


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """`sessions` by protocol; `originated`: protocol -> prefix -> source (`pod`, `clusterIP`, …); `origins`: protocol
    -> what its prefixes come from ("Node a").
    """

    node: str
    digest: str
    version: tuple[int, ...]
    router_id: str
    sessions: dict[str, SessionNames] = {}
    originated: dict[str, dict[str, str]] = {}
    origins: dict[str, str] = {}


def from_config(config: BirdConfig, digest: str) -> Inventory:
    """The inventory of a compiled configuration whose rendered text has `digest`."""
    return Inventory(
        node=config.node,
        digest=digest,
        version=config.version,
        router_id=config.router_id,
        sessions={each.name: _names(each) for each in config.sessions},
        originated={each.name: _sources(each) for each in config.originated},
        origins={each.name: each.origin for each in config.originated},
    )


def of_protocol(sessions: Mapping[str, T], protocol: str) -> T | None:
    """What `sessions` says of a running protocol: for a neighbour of unnumbered `tor1` BIRD makes `tor1_1`."""
    return sessions.get(protocol, sessions.get(re.sub(r"_\d+$", "", protocol)))


def path(folder: Path) -> Path:
    return folder / "inventory.json"


def read(folder: Path) -> Inventory | None:
    """The inventory in a folder; None when there is none, or another version of birdctl wrote it.

    Raises BackendError when it may not be read.
    """
    try:
        return msgspec.json.decode(path(folder).read_bytes(), type=Inventory)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    except PermissionError:
        raise BackendError(f"no permission to read {path(folder)}: run it as root") from None
    except OSError as error:
        raise BackendError(f"cannot read {error.filename}: {error.strerror}") from None


def write(folder: Path, inventory: Inventory) -> None:
    """Whole or not at all."""
    new = path(folder).with_suffix(".new")
    new.write_bytes(msgspec.json.encode(inventory))
    new.replace(path(folder))


def _names(session: Session) -> SessionNames:
    limits = {each.family.label: each.import_limit.prefixes for each in session.channels if each.import_limit}
    return SessionNames(
        peer=session.peer,
        type=session.type,
        origin=session.origin,
        remote_asn=session.remote_asn,
        local_asn=session.local_asn,
        address=str(session.address) if session.address else None,
        local_address=str(session.local_address) if session.local_address else None,
        interface=session.interface,
        families=tuple(each.family.label for each in session.channels),
        bfd=session.bfd is not None,
        limits=limits,
    )


def _sources(originated: Originated) -> dict[str, str]:
    return {str(prefix): source for prefix, source in zip(originated.prefixes, originated.sources, strict=True)}
