"""Every kind of change of a configuration, and what it does to sessions: one table for the prediction and for BIRD.

The subject is node 1 with two sessions to one neighbour: iBGP `node_n2` of both families, and eBGP `peer_tor1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.routing.impact import Effect
from birdctl.routing.model import (
    AddPaths,
    Attributes,
    Bfd,
    BirdConfig,
    Filter,
    GracefulRestart,
    Limit,
    NextHopSelf,
    PrefixSet,
    Term,
    Timers,
)
from birdctl.secret import Secret
from tests.configs import (
    ASN,
    channel,
    external_session,
    mesh_session,
    node_config,
    originated,
    pattern,
    peer_filters,
    with_channel,
    with_session,
)

V4 = Family.IPV4
MESH, TOR = "node_n2", "peer_tor1"
Transform = Callable[[BirdConfig], BirdConfig]


@dataclass(frozen=True)
class Change:
    """`effects` by session; a session not named meets nothing. `start` prepares the subject."""

    name: str
    after: Transform
    effects: Mapping[str, Effect] = field(default_factory=dict)
    start: Transform = lambda config: config

    def __str__(self) -> str:
        return self.name


def subject(version: tuple[int, ...]) -> BirdConfig:
    tor = external_session("tor1", "10.0.0.102", 65001, local_address=ip_address("10.0.0.101"))
    allowed = (pattern(ip_network("172.16.0.0/12")), pattern(ip_network("192.168.0.0/16")))
    filters = peer_filters("tor1", V4, *allowed, services=("services_web4",), attributes=Attributes(med=10))
    config = node_config(1, version, mesh_session(1, 2), tor, filters=filters)
    services = originated("services_web4", V4, *(f"10.96.0.{last}/32" for last in range(1, 6)))
    return replace(config, originated=(*config.originated, services))


def neighbour(version: tuple[int, ...]) -> BirdConfig:
    """Node 2 and tor1 in one BIRD. It takes everything and announces a few prefixes."""
    back = external_session(
        "n1",
        "10.0.0.101",
        ASN,
        local_asn=65001,
        local_address=ip_address("10.0.0.102"),
        channels=(channel(V4, "all"),),
    )
    outside = originated("outside4", V4, "172.16.1.0/24", "172.16.2.0/24", "192.168.1.0/24")
    everything = (
        Filter(name="all_in4", family=V4, terms=(), accept_rest=True),
        Filter(name="all_out4", family=V4, terms=(Term(accept=True, protocols=("outside4",)),)),
    )
    config = node_config(2, version, mesh_session(2, 1, passive=False), back, filters=everything)
    return replace(config, originated=(*config.originated, outside))


def session(**options: object) -> Transform:
    return lambda config: with_session(config, **options)


def mesh_channel(**options: object) -> Transform:
    return lambda config: with_channel(config, **options)


def tor_channel(**options: object) -> Transform:
    return lambda config: swapped(with_channel(swapped(config), **options))


def tor(**options: object) -> Transform:
    return lambda config: swapped(with_session(swapped(config), **options))


def swapped(config: BirdConfig) -> BirdConfig:
    return replace(config, sessions=config.sessions[::-1])


def both(*transforms: Transform) -> Transform:
    def apply(config: BirdConfig) -> BirdConfig:
        for transform in transforms:
            config = transform(config)
        return config

    return apply


def filter_terms(name: str, change: Callable[[tuple[Term, ...]], tuple[Term, ...]]) -> Transform:
    def apply(config: BirdConfig) -> BirdConfig:
        filters = [replace(each, terms=change(each.terms)) if each.name == name else each for each in config.filters]
        return replace(config, filters=tuple(filters))

    return apply


def renamed_filter(old: str, new: str) -> Transform:
    def apply(config: BirdConfig) -> BirdConfig:
        filters = [replace(each, name=new) if each.name == old else each for each in config.filters]
        return replace(config, filters=tuple(filters))

    return apply


def services(name: str, *lasts: int) -> Transform:
    """The services' prefixes, under a protocol's name."""

    def apply(config: BirdConfig) -> BirdConfig:
        kept = [each for each in config.originated if each.name != name]
        return replace(config, originated=(*kept, originated(name, V4, *(f"10.96.0.{last}/32" for last in lasts))))

    return apply


def without_services(config: BirdConfig) -> BirdConfig:
    return replace(config, originated=tuple(each for each in config.originated if each.name != "services_web4"))


def shared_set(prefix: str) -> Transform:
    """tor1's routes inside a set, defined on its own, are refused."""

    def apply(config: BirdConfig) -> BirdConfig:
        guarded = PrefixSet(name="guarded4", family=V4, patterns=(pattern(ip_network(prefix)),), comment="Guarded")
        refused = Term(accept=False, prefixes=guarded.patterns, prefix_set=guarded.name)
        config = filter_terms("tor1_in4", lambda terms: (refused, terms[-1]))(config)
        return replace(config, prefix_sets=(guarded,))

    return apply


def two_classes(config: BirdConfig) -> BirdConfig:
    """A second class of services, exported to tor1 too."""
    both_classes = Term(accept=True, protocols=("services_web4", "services_db4", "services_all4"))
    return services("services_db4", 9)(filter_terms("tor1_out4", lambda terms: (terms[0], both_classes))(config))


RESTART = {MESH: Effect.RESTART}
TOR_RESTART = {TOR: Effect.RESTART}

CHANGES = (
    Change("nothing", lambda config: config),
    Change("description", session(peer="other")),
    Change("comment of a protocol", session(origin="Node other")),
    Change("comment in a filter", filter_terms("mesh_in4", lambda terms: (replace(terms[0], comment="x"), *terms[1:]))),
    Change("order of sessions", swapped),
    Change("graceful restart wait", lambda config: replace(config, graceful_restart_wait=30)),
    Change("BFD on", session(bfd=Bfd())),
    Change("BFD off", session(bfd=None), start=session(bfd=Bfd())),
    Change("BFD timers", session(bfd=Bfd(min_tx=500)), start=session(bfd=Bfd())),
    Change("rejected routes kept", mesh_channel(keep_filtered=True)),
    Change("rejected routes kept no longer", tor_channel(keep_filtered=False), start=tor_channel(keep_filtered=True)),
    Change("import limit added", mesh_channel(import_limit=Limit(prefixes=100, action="block"))),
    Change("import limit of a peer added", tor_channel(import_limit=Limit(prefixes=100, action="restart"))),
    Change("export limit added", mesh_channel(export_limit=Limit(prefixes=100, action="warn"))),
    Change("hold time", session(timers=Timers(hold=30)), RESTART),
    Change("keepalive time", session(timers=Timers(keepalive=20)), RESTART),
    Change("connect retry time", session(timers=Timers(connect_retry=7)), RESTART),
    Change("graceful restart off", session(graceful_restart=None), RESTART),
    Change("graceful restart time", session(graceful_restart=GracefulRestart(restart_time=60)), RESTART),
    Change("long-lived on", session(graceful_restart=GracefulRestart(long_lived_stale_time=3600)), RESTART),
    Change("passive", session(passive=True), RESTART),
    Change("strict bind", session(strict_bind=True), RESTART),
    Change("password added", session(password=Secret("one")), RESTART),
    Change("password of a peer added", tor(password=Secret("one")), TOR_RESTART),
    Change("multihop", session(multihop=10), RESTART),
    Change("direct to multihop", tor(multihop=2), TOR_RESTART),
    Change("TTL security", tor(ttl_security=True), TOR_RESTART),
    Change("reflector client", session(reflector_client=True), RESTART),
    Change("cluster ID", session(cluster_id="1.1.1.1"), RESTART, start=session(reflector_client=True)),
    Change("allowed own AS", tor(allow_as_in=1), TOR_RESTART),
    Change("remote AS", tor(remote_asn=65002), TOR_RESTART),
    Change("local AS", tor(local_asn=64513), TOR_RESTART),
    Change("port", tor(port=1790), TOR_RESTART),
    Change("address", tor(address=ip_address("10.0.0.103")), TOR_RESTART),
    Change("next hop self", mesh_channel(next_hop_self=NextHopSelf.ALL), {MESH: Effect.RELOAD_OUT}),
    Change("next hop self of a peer", tor_channel(next_hop_self=NextHopSelf.OFF), {TOR: Effect.RELOAD_OUT}),
    Change("next hop address", mesh_channel(next_hop_address=ip_address("10.0.0.99")), RESTART),
    Change("extended next hop", mesh_channel(extended_next_hop=True), RESTART),
    Change("add paths", mesh_channel(add_paths=AddPaths.BOTH), RESTART),
    Change("channel removed", session(channels=(channel(V4),)), RESTART),
    Change(
        "channel added",
        session(channels=(channel(V4), channel(Family.IPV6, next_hop_address=ip_address("fd00::1")))),
        RESTART,
        start=session(channels=(channel(V4),)),
    ),
    Change(
        "content of an import filter",
        filter_terms("tor1_in4", lambda terms: (replace(terms[0], prefixes=terms[0].prefixes[:1]),)),
        {TOR: Effect.RELOAD_IN},
    ),
    Change("content of an export filter", filter_terms("tor1_out4", lambda terms: terms[:1]), {TOR: Effect.RELOAD_OUT}),
    Change(
        "attributes in an export filter",
        filter_terms("tor1_out4", lambda terms: (terms[0], replace(terms[1], attributes=Attributes(med=20)))),
        {TOR: Effect.RELOAD_OUT},
    ),
    Change(
        "content of both filters",
        both(filter_terms("mesh_in4", lambda _: ()), filter_terms("mesh_out4", lambda terms: terms[:1])),
        {MESH: Effect.RELOAD},
    ),
    Change(
        "name of an import filter",
        both(renamed_filter("mesh_in4", "new_in4"), mesh_channel(import_filter="new_in4")),
        {MESH: Effect.RELOAD_IN},
    ),
    Change(
        "name of an export filter",
        both(renamed_filter("mesh_out4", "new_out4"), mesh_channel(export_filter="new_out4")),
        {MESH: Effect.RELOAD_OUT},
    ),
    Change(
        "content of a prefix set", shared_set("10.2.0.0/16"), {TOR: Effect.RELOAD_IN}, start=shared_set("10.1.0.0/16")
    ),
    Change("prefix added", services("services_web4", 1, 2, 3, 4, 5, 6)),
    Change("prefix removed", services("services_web4", 1, 2, 3, 4)),
    Change("class of prefixes added", services("services_db4", 11, 12)),
    Change("class of prefixes removed", without_services),
    Change("prefix moved", both(services("services_web4", 1, 2, 3, 4), services("services_db4", 5)), start=two_classes),
    Change(
        "class of prefixes renamed", both(without_services, services("services_all4", 1, 2, 3, 4, 5)), start=two_classes
    ),
    Change("merge paths", lambda config: replace(config, merge_paths=8)),
    Change("kernel table", lambda config: replace(config, kernel_table=77)),
    Change("a family less", lambda config: replace(config, families=(V4,))),
    Change(
        "router ID",
        lambda config: replace(config, router_id="10.0.0.77"),
        {MESH: Effect.RESTART, TOR: Effect.RESTART},
    ),
    Change("session renamed", session(name="node_other"), {MESH: Effect.REMOVED, "node_other": Effect.NEW}),
    Change("session removed", lambda config: replace(config, sessions=config.sessions[:1]), {TOR: Effect.REMOVED}),
    Change(
        "session added",
        lambda config: replace(config, sessions=(*config.sessions, mesh_session(1, 3))),
        {"node_n3": Effect.NEW},
    ),
)
