"""Peers that are not objects: of the settings (`--peer-router-ips`) and of the node's annotations.

The settings' peers stand in for those of the annotations: a node whose settings name peers does not read the others.
An entry with a fault is left out alone, lists of different lengths are left out whole.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from birdctl.cluster.annotations import Annotation, annotation
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Node
from birdctl.errors import InputError
from birdctl.routing.compile import values
from birdctl.routing.compile.configuration import Configuration
from birdctl.routing.compile.peers import Peer
from birdctl.routing.model import Attributes, Bfd
from birdctl.routing.options import RoutingOptions

Found = tuple[list[Peer], list[InputError]]

_BFD_PORT = 3784
_YAML_FIELDS = {
    "remoteip": "address",
    "remoteasn": "remote_asn",
    "localip": "local_address",
    "password": "password",
    "port": "port",
}
_YAML_BFD = {"enabled", "port", "detection_multiplier", "desired_min_tx_interval", "required_min_rx_interval"}
_ANNOTATIONS = {
    "address": "peer.ips",
    "remote_asn": "peer.asns",
    "port": "peer.ports",
    "password": "peer.passwords",
    "local_address": "peer.localips",
}


def _port(text: str) -> int:
    return values.number(text, 1, 65535)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "address": values.unicast,
    "remote_asn": values.asn_text,
    "port": _port,
    "password": values.base64_password,
    "local_address": values.unicast,
}


class _Column(msgspec.Struct, frozen=True, kw_only=True):
    """One of the parallel lists: the values of one field of all peers. None and "" are left to the default."""

    place: str
    items: Sequence[Any]
    parse: Callable[[Any], Any]


def peers(node: Node, configuration: Configuration, options: RoutingOptions) -> Found:
    """The peers that the settings or the node's annotations name, in the order given."""
    usual = _usual(node, configuration, options)
    if options.peer_router_ips:
        usual = replace(usual, origin="--peer-router-ips", field="", local_field="", bfd=_settings_bfd(options))
        return _of_columns(usual, _settings_columns(options))
    document = annotation(node.metadata.annotations, "peers")
    if document:
        return _of_document(replace(usual, field=document.field, local_field=document.field), document)
    columns = _annotation_columns(node)
    return _of_columns(replace(usual, field=columns["address"].place), columns) if "address" in columns else ([], [])


def _usual(node: Node, configuration: Configuration, options: RoutingOptions) -> Peer:
    """What all peers without an object have in common."""
    ttl = options.peer_router_multihop_ttl
    return Peer(
        name="",
        origin=node.ref,
        remote_asn=0,
        attributes=Attributes(),
        multihop=ttl if ttl > 1 else None,
        timers=configuration.external_timers,
        graceful_restart=configuration.graceful_restart,
        next_hop_self=options.override_nexthop,
        allow=configuration.allow,
        import_limit=configuration.import_limit,
        export_pods=configuration.advertise.pod_cidrs,
    )


def _settings_bfd(options: RoutingOptions) -> Bfd | None:
    if not options.enable_bfd:
        return None
    return Bfd(
        min_tx=options.bfd_desired_min_tx_interval,
        min_rx=options.bfd_required_min_rx_interval,
        multiplier=options.bfd_detection_multiplier,
    )


def _settings_columns(options: RoutingOptions) -> dict[str, _Column]:
    """The settings' lists; ports and passwords may be absent altogether."""
    columns = {
        "address": _Column(place="", items=options.peer_router_ips, parse=lambda given: values.unicast(str(given))),
        "remote_asn": _Column(place="--peer-router-asns", items=options.peer_router_asns, parse=values.asn),
        "port": _Column(place="--peer-router-ports", items=options.peer_router_ports, parse=int),
        "password": _Column(
            place="--peer-router-passwords",
            items=options.peer_router_passwords,
            parse=lambda given: values.password(given.reveal().encode()),
        ),
    }
    return {field: column for field, column in columns.items() if column.items or field in ("address", "remote_asn")}


def _annotation_columns(node: Node) -> dict[str, _Column]:
    columns: dict[str, _Column] = {}
    for field, name in _ANNOTATIONS.items():
        found = annotation(node.metadata.annotations, name)
        if found and found.word:
            columns[field] = _Column(place=found.field, items=found.items(), parse=_PARSERS[field])
    return columns


def _of_columns(usual: Peer, columns: Mapping[str, _Column]) -> Found:
    count = len(columns["address"].items)
    uneven = [
        InputError(usual.origin, column.place, f"{len(column.items)} entries for {count} addresses")
        for column in columns.values()
        if len(column.items) != count
    ]
    if uneven:
        return [], uneven
    found: list[Peer] = []
    problems: list[InputError] = []
    for index in range(count):
        faults = Faults(usual.origin)
        peer = _completed(usual, _row(columns, index, faults), faults)
        problems.extend(faults)
        if not faults:
            found.append(peer)
    return found, problems


def _row(columns: Mapping[str, _Column], index: int, faults: Faults) -> dict[str, Any]:
    return {
        field: faults.read(column.place, column.parse, column.items[index])
        for field, column in columns.items()
        if column.items[index] not in (None, "")
    }


def _completed(usual: Peer, given: Mapping[str, Any], faults: Faults) -> Peer:
    """`usual` with what is given for one peer, by field; None was a fault already."""
    peer = replace(usual, name=str(given.get("address")), **{field: value for field, value in given.items() if value})
    if "address" not in given or "remote_asn" not in given:
        faults.add(usual.field, "every peer needs an address and an ASN")
    if peer.address and peer.local_address:
        faults.read(peer.local_field, values.same_family, peer.local_address, peer.address)
    return peer


def _of_document(usual: Peer, document: Annotation) -> Found:
    entries = _entries(document.text)
    if entries is None:
        return [], [InputError(usual.origin, document.field, "is not a YAML list of peers")]
    found: list[Peer] = []
    problems: list[InputError] = []
    for index, entry in enumerate(entries):
        faults = Faults(usual.origin)
        peer = _of_entry(entry, usual, f"{document.field}[{index}]", faults)
        problems.extend(faults)
        if not faults:
            found.append(peer)
    return found, problems


def _entries(text: str) -> Sequence[Any] | None:
    import yaml  # noqa: PLC0415 - only who has the annotation pays for it

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError:
        return None
    return document if isinstance(document, list) else None


def _of_entry(entry: Any, usual: Peer, field: str, faults: Faults) -> Peer:
    if not isinstance(entry, dict):
        faults.add(field, "expected a mapping with remoteip and remoteasn")
        return usual
    for name in _unknown(entry, _YAML_FIELDS.keys() | {"bfd"}):
        faults.add(f"{field}.{name}", "unknown field")
    given = {
        target: faults.read(f"{field}.{name}", _PARSERS[target], str(entry[name]))
        for name, target in _YAML_FIELDS.items()
        if entry.get(name) not in (None, "")
    }
    bfd = _yaml_bfd(entry.get("bfd"), f"{field}.bfd", faults)
    return _completed(replace(usual, bfd=bfd, field=field, local_field=f"{field}.localip"), given, faults)


def _unknown(entry: Mapping[Any, Any], known: Container[str]) -> Iterator[str]:
    return (str(name) for name in entry if name not in known)


def _yaml_bfd(entry: Any, field: str, faults: Faults) -> Bfd | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or any(_unknown(entry, _YAML_BFD)):
        faults.add(field, f"expected a mapping of {', '.join(sorted(_YAML_BFD))}")
        return None

    def number(name: str, default: int, high: int) -> int:
        return faults.read(f"{field}.{name}", values.number, str(entry.get(name, default)), 1, high) or default

    if number("port", _BFD_PORT, 65535) != _BFD_PORT:
        faults.add(f"{field}.port", f"BIRD has BFD on port {_BFD_PORT} only (RFC 5881)")
    bfd = Bfd(
        min_tx=number("desired_min_tx_interval", 1000, 60_000),
        min_rx=number("required_min_rx_interval", 1000, 60_000),
        multiplier=number("detection_multiplier", 3, 255),
    )
    return bfd if entry.get("enabled", False) else None
