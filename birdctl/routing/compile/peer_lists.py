"""Peers that are not objects: of the settings (`--peer-router-ips`) and of the node's annotations.

The settings' peers stand in for those of the annotations: a node whose settings name peers does not read the others.
An entry with a fault is left out alone, lists of different lengths are left out whole.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from birdctl.cluster.objects import Node
from birdctl.errors import InputError
from birdctl.routing.compile import values
from birdctl.routing.compile.configuration import Configuration
from birdctl.routing.compile.faults import Faults
from birdctl.routing.compile.nodes import Annotation, annotation
from birdctl.routing.compile.peers import Peer
from birdctl.routing.model import Attributes, Bfd
from birdctl.routing.options import RoutingOptions
from birdctl.secret import Secret

Found = tuple[list[Peer], list[InputError]]

_BFD_PORT = 3784
_PARALLEL = {"peer.ports": "port", "peer.passwords": "password", "peer.localips": "local_address"}
_YAML_REQUIRED = {"remoteip", "remoteasn"}
_YAML_OPTIONAL = {"port": "port", "password": "password", "localip": "local_address"}
_YAML_BFD = {"enabled", "port", "detection_multiplier", "desired_min_tx_interval", "required_min_rx_interval"}


def peers(node: Node, configuration: Configuration, options: RoutingOptions) -> Found:
    """The peers that the settings or the node's annotations name, in the order given."""
    usual = _usual(node, configuration, options)
    if options.peer_router_ips:
        return _of_settings(replace(usual, origin="--peer-router-ips", field="", local_field=""), options)
    document = annotation(node.metadata.annotations, "peers")
    if document:
        return _of_document(node, replace(usual, field=document.field, local_field=document.field), document)
    addresses = annotation(node.metadata.annotations, "peer.ips")
    return _of_lists(node, replace(usual, field=addresses.field), addresses) if addresses else ([], [])


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


def _of_settings(usual: Peer, options: RoutingOptions) -> Found:
    count = len(options.peer_router_ips)
    if len(options.peer_router_asns) != count:
        problem = f"{len(options.peer_router_asns)} ASNs for {count} addresses in --peer-router-ips"
        return [], [InputError("--peer-router-asns", "", problem)]
    for flag, given in (
        ("--peer-router-ports", options.peer_router_ports),
        ("--peer-router-passwords", options.peer_router_passwords),
    ):
        if given and len(given) != count:
            return [], [InputError(flag, "", f"{len(given)} entries for {count} addresses in --peer-router-ips")]
    bfd = Bfd(
        min_tx=options.bfd_desired_min_tx_interval,
        min_rx=options.bfd_required_min_rx_interval,
        multiplier=options.bfd_detection_multiplier,
    )
    found: list[Peer] = []
    problems: list[InputError] = []
    for index, address in enumerate(options.peer_router_ips):
        faults = Faults(usual.origin)
        secret = options.peer_router_passwords[index] if options.peer_router_passwords else None
        port = options.peer_router_ports[index] if options.peer_router_ports else None
        peer = replace(
            usual,
            name=str(address),
            address=faults.read("", values.unicast, str(address)),
            remote_asn=faults.read("", values.asn, options.peer_router_asns[index]) or 0,
            port=port or usual.port,
            password=_plain_password(secret, faults),
            bfd=bfd if options.enable_bfd else None,
        )
        _keep(peer, faults, found, problems)
    return found, problems


def _plain_password(secret: Secret | None, faults: Faults) -> Secret | None:
    if secret is None:
        return None
    return faults.read("--peer-router-passwords", values.password, secret.reveal().encode())


def _keep(peer: Peer, faults: Faults, found: list[Peer], problems: list[InputError]) -> None:
    if faults:
        problems.extend(faults)
    else:
        found.append(peer)


def _of_lists(node: Node, usual: Peer, addresses: Annotation) -> Found:
    texts = addresses.items()
    asns = annotation(node.metadata.annotations, "peer.asns")
    if asns is None or len(asns.items()) != len(texts):
        given = len(asns.items()) if asns else 0
        return [], [InputError(node.ref, asns.field if asns else addresses.field, _uneven(given, len(texts), "ASNs"))]
    columns: dict[str, Annotation] = {}
    for name, field in _PARALLEL.items():
        column = annotation(node.metadata.annotations, name)
        if column and column.text:
            if len(column.items()) != len(texts):
                return [], [InputError(node.ref, column.field, _uneven(len(column.items()), len(texts), "entries"))]
            columns[field] = column
    found: list[Peer] = []
    problems: list[InputError] = []
    for index, text in enumerate(texts):
        faults = Faults(node.ref)
        peer = replace(
            usual,
            address=faults.read(addresses.field, values.unicast, text),
            remote_asn=faults.read(asns.field, values.asn_text, asns.items()[index]) or 0,
        )
        _keep(_completed(peer, _row(columns, index, faults), faults), faults, found, problems)
    return found, problems


def _uneven(given: int, count: int, what: str) -> str:
    return f"{given} {what} for {count} addresses in peer.ips"


def _row(columns: Mapping[str, Annotation], index: int, faults: Faults) -> dict[str, Any]:
    """The optional values of one peer; blank ones are left to the default."""
    row = {}
    for field, column in columns.items():
        text = column.items()[index]
        if text:
            row[field] = faults.read(column.field, _PARSERS[field], text)
    return row


def _port(text: str) -> int:
    return values.number(text, 1, 65535)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "port": _port,
    "password": values.base64_password,
    "local_address": values.unicast,
}


def _completed(peer: Peer, given: Mapping[str, Any], faults: Faults) -> Peer:
    peer = replace(peer, name=str(peer.address), **{field: value for field, value in given.items() if value})
    if peer.address and peer.local_address:
        faults.read(peer.local_field, values.same_family, peer.local_address, peer.address)
    return peer


def _of_document(node: Node, usual: Peer, document: Annotation) -> Found:
    entries = _entries(document.text)
    if entries is None:
        return [], [InputError(node.ref, document.field, "is not a YAML list of peers")]
    found: list[Peer] = []
    problems: list[InputError] = []
    for index, entry in enumerate(entries):
        faults = Faults(node.ref)
        _keep(_of_entry(entry, usual, f"{document.field}[{index}]", faults), faults, found, problems)
    return found, problems


def _entries(text: str) -> Sequence[Any] | None:
    import yaml  # noqa: PLC0415 - only who has the annotation pays for it

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError:
        return None
    return document if isinstance(document, list) else None


def _of_entry(entry: Any, usual: Peer, field: str, faults: Faults) -> Peer:
    if not isinstance(entry, dict) or not _YAML_REQUIRED <= entry.keys():
        faults.add(field, f"expected a mapping with {' and '.join(sorted(_YAML_REQUIRED))}")
        return usual
    for name in _unknown(entry, _YAML_REQUIRED | _YAML_OPTIONAL.keys() | {"bfd"}):
        faults.add(f"{field}.{name}", "unknown field")
    peer = replace(
        usual,
        address=faults.read(f"{field}.remoteip", values.unicast, str(entry["remoteip"])),
        remote_asn=faults.read(f"{field}.remoteasn", values.asn_text, str(entry["remoteasn"])) or 0,
        bfd=_yaml_bfd(entry.get("bfd"), f"{field}.bfd", faults),
    )
    given = {
        target: faults.read(f"{field}.{name}", _PARSERS[target], str(entry[name]))
        for name, target in _YAML_OPTIONAL.items()
        if entry.get(name) not in (None, "")
    }
    return _completed(peer, given, faults)


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
