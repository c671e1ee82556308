"""Small whole BIRD configurations for tests: node N of a cluster, with the sessions that a test gives it.

Node N has 10.0.0.N and fd00::N, router ID 10.0.0.N, the pods 10.1.N.0/24 and fd01:N::/64, and is in AS 64512.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from msgspec.structs import replace

from birdctl.addresses import Family, Prefix
from birdctl.routing.model import (
    Attributes,
    BirdConfig,
    Channel,
    Filter,
    GracefulRestart,
    NextHopSelf,
    Originated,
    PeerType,
    PrefixPattern,
    Session,
    Term,
)

ASN = 64512


def pods(node: int, family: Family) -> Prefix:
    return ip_network(f"10.1.{node}.0/24" if family is Family.IPV4 else f"fd01:{node}::/64")


def pattern(prefix: Prefix, min_length: int | None = None, max_length: int | None = None) -> PrefixPattern:
    """The prefix and everything inside it, unless lengths say otherwise."""
    return PrefixPattern(
        prefix=prefix,
        min_length=prefix.prefixlen if min_length is None else min_length,
        max_length=prefix.max_prefixlen if max_length is None else max_length,
    )


def channel(family: Family, filters: str = "mesh", **options: Any) -> Channel:
    names = {"import_filter": f"{filters}_in{family.digit}", "export_filter": f"{filters}_out{family.digit}"}
    return Channel(**{"family": family, "next_hop_self": NextHopSelf.EBGP, **names, **options})


def mesh_session(node: int, peer: int, /, **options: Any) -> Session:
    """iBGP over IPv4; both families, IPv6 with the node's own address as next hop."""
    values = {
        "name": f"node_n{peer}",
        "peer": f"n{peer}",
        "type": PeerType.MESH,
        "origin": f"Node n{peer}",
        "local_asn": ASN,
        "remote_asn": ASN,
        "address": ip_address(f"10.0.0.{peer}"),
        "local_address": ip_address(f"10.0.0.{node}"),
        "multihop": 64,
        "passive": node > peer,
        "graceful_restart": GracefulRestart(),
        "channels": (channel(Family.IPV4), channel(Family.IPV6, next_hop_address=ip_address(f"fd00::{node}"))),
    }
    return Session(**{**values, **options})


def external_session(name: str, address: str, asn: int, **options: Any) -> Session:
    """eBGP with a neighbour on the link; IPv4, with the peer's own filters."""
    values = {
        "name": f"peer_{name}",
        "peer": name,
        "type": PeerType.EXTERNAL,
        "origin": f"BGPPeer {name}",
        "local_asn": ASN,
        "remote_asn": asn,
        "address": ip_address(address),
        "graceful_restart": GracefulRestart(),
        "channels": (channel(Family.IPV4, name, next_hop_self=NextHopSelf.ALL),),
    }
    return Session(**{**values, **options})


def mesh_filters(node: int, family: Family) -> tuple[Filter, ...]:
    own = Term(accept=False, prefixes=(pattern(pods(node, family)),), comment="pods of this node")
    exported = (
        Term(accept=True, protocols=(f"pods{family.digit}",)),
        Term(accept=True, sources=("RTS_BGP",), comment="learned from external peers"),
    )
    return (
        Filter(
            name=f"mesh_in{family.digit}",
            family=family,
            terms=(own,),
            accept_rest=True,
            origin="Sessions between nodes",
        ),
        Filter(name=f"mesh_out{family.digit}", family=family, terms=exported, origin="Sessions between nodes"),
    )


def peer_filters(
    name: str,
    family: Family,
    *allow: PrefixPattern,
    attributes: Attributes | None = None,
    services: tuple[str, ...] = (),
) -> tuple[Filter, ...]:
    """In: the allow-list. Out: this node's pods, and services with attributes."""
    allowed = (Term(accept=True, prefixes=allow),) if allow else ()
    exported = [Term(accept=True, protocols=(f"pods{family.digit}",))]
    if services:
        exported.append(Term(accept=True, protocols=services, attributes=attributes or Attributes()))
    return (
        Filter(name=f"{name}_in{family.digit}", family=family, terms=allowed, origin=f"BGPPeer {name}"),
        Filter(name=f"{name}_out{family.digit}", family=family, terms=tuple(exported), origin=f"BGPPeer {name}"),
    )


def originated(name: str, family: Family, *prefixes: str, origin: str = "", source: str = "clusterIP") -> Originated:
    networks = tuple(ip_network(prefix) for prefix in prefixes)
    return Originated(
        name=name, family=family, origin=origin or name, prefixes=networks, sources=(source,) * len(networks)
    )


def node_config(
    number: int, version: tuple[int, ...], *sessions: Session, filters: tuple[Filter, ...] = ()
) -> BirdConfig:
    own = tuple(
        originated(f"pods{family.digit}", family, str(pods(number, family)), origin=f"Node n{number}", source="pod")
        for family in Family
    )
    return BirdConfig(
        node=f"n{number}",
        version=version,
        router_id=f"10.0.0.{number}",
        families=tuple(Family),
        sessions=sessions,
        originated=own,
        filters=tuple(each for family in Family for each in mesh_filters(number, family)) + filters,
    )


def with_session(config: BirdConfig, **options: Any) -> BirdConfig:
    """The configuration with its first session changed."""
    first, *rest = config.sessions
    return replace(config, sessions=(replace(first, **options), *rest))


def with_channel(config: BirdConfig, **options: Any) -> BirdConfig:
    """The configuration with the first channel of its first session changed."""
    first, *rest = config.sessions[0].channels
    return with_session(config, channels=(replace(first, **options), *rest))
