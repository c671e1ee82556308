"""What holds for the whole cluster: the BGPConfiguration named `default`, completed by the node's settings.

A BGPConfiguration with a fault is left out whole: then the settings alone decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from birdctl.cluster import bgp
from birdctl.cluster.bgp import BGPConfiguration
from birdctl.cluster.faults import Faults
from birdctl.errors import InputError
from birdctl.routing.compile import values
from birdctl.routing.model import Attributes, GracefulRestart, Limit, PrefixPattern, Timers
from birdctl.routing.options import DEFAULT_ASN, RoutingOptions

NAME = "default"
_LONGEST_STALE = 2**24 - 1  # RFC 9494: 24 bits


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """`external_timers` are those of external peers, `timers` those between nodes. `reflectors` None: none chosen here.

    `graceful_restart` None: off. `allow` is what external peers may teach, `attributes` what all that goes to them
    gets.
    """

    asn: int
    topology: bgp.Topology
    reflectors: bgp.RouteReflectors | None
    port: int
    timers: Timers
    external_timers: Timers
    graceful_restart: GracefulRestart | None
    advertise: bgp.Advertise
    allow: tuple[PrefixPattern, ...]
    import_limit: Limit | None
    attributes: Attributes


def configuration(
    objects: Mapping[str, BGPConfiguration], options: RoutingOptions
) -> tuple[Configuration, tuple[InputError, ...]]:
    """The configuration in force, and what is wrong with the objects."""
    problems = [
        InputError(item.ref, "metadata.name", f"only the one named {NAME!r} is read")
        for item in objects.values()
        if item.name != NAME
    ]
    settings = _from_settings(options, problems)
    default = objects.get(NAME)
    if default is None:
        return settings, tuple(problems)
    faults = Faults(default.ref)
    read = _from_object(default, settings, faults)
    return settings if faults else read, (*problems, *faults)


def timers(spec: bgp.Timers | None, otherwise: Timers, faults: Faults) -> Timers:
    """`spec.timers`, completed. A hold time without a keepalive time brings its own: a third of it (RFC 4271)."""
    if spec is None:
        return otherwise
    hold = faults.read("spec.timers.hold", _hold, spec.hold) if spec.hold else otherwise.hold
    retry = (
        faults.read("spec.timers.connectRetry", values.seconds, spec.connect_retry, 1, 65535)
        if spec.connect_retry
        else None
    )
    keepalive = (
        faults.read("spec.timers.keepalive", values.seconds, spec.keepalive, 0, 21845) if spec.keepalive else None
    )
    if hold is None:
        return otherwise
    if keepalive is None:
        keepalive = hold // 3 if spec.hold else otherwise.keepalive
    if hold and not 1 <= keepalive <= hold // 3:
        faults.add("spec.timers.keepalive", f"{keepalive}s is not between 1s and a third of the hold time of {hold}s")
    return Timers(hold=hold, keepalive=keepalive, connect_retry=retry or otherwise.connect_retry)


def graceful_restart(
    spec: bgp.GracefulRestart | None, otherwise: GracefulRestart | None, faults: Faults
) -> GracefulRestart | None:
    if spec is None:
        return otherwise
    inherited = otherwise or GracefulRestart()
    restart, stale = inherited.restart_time, inherited.long_lived_stale_time
    if spec.restart_time:
        found = faults.read("spec.gracefulRestart.restartTime", values.seconds, spec.restart_time, 1, 4095)
        restart = restart if found is None else found
    if spec.long_lived_stale_time:
        field = "spec.gracefulRestart.longLivedStaleTime"
        stale = faults.read(field, values.seconds, spec.long_lived_stale_time, 0, _LONGEST_STALE) or None
    return GracefulRestart(restart_time=restart, long_lived_stale_time=stale) if spec.enabled else None


def allowed(spec: bgp.ImportPolicy | None, faults: Faults) -> tuple[PrefixPattern, ...] | None:
    """The allow-list, None when the object has none."""
    if spec is None or spec.allow is None:
        return None
    found = [faults.read(f"spec.import.allow[{index}]", values.pattern, rule) for index, rule in enumerate(spec.allow)]
    return tuple(pattern for pattern in found if pattern)


def limit(spec: bgp.Limit | None, field: str, faults: Faults) -> Limit | None:
    if spec is None or faults.read(f"{field}.prefixes", values.between, spec.prefixes, 1, 2**32 - 1) is None:
        return None
    return Limit(prefixes=spec.prefixes, action=spec.action.lower())


def communities(texts: Iterable[str], field: str, faults: Faults) -> Attributes:
    standard: set[values.Community] = set()
    large: set[values.LargeCommunity] = set()
    for index, text in enumerate(texts):
        few, many = faults.read(f"{field}[{index}]", values.communities, [text]) or ((), ())
        standard.update(few)
        large.update(many)
    return Attributes(communities=tuple(sorted(standard)), large_communities=tuple(sorted(large)))


def _hold(text: str) -> int:
    length = values.seconds(text, 0, 65535)
    if length in (1, 2):
        raise ValueError(f"{text} is neither 0 nor at least 3s (RFC 4271)")
    return length


def _from_settings(options: RoutingOptions, problems: list[InputError]) -> Configuration:
    hold = int(options.bgp_holdtime)
    restart = GracefulRestart(restart_time=int(options.bgp_graceful_restart_time))
    faults = Faults("--cluster-asn")
    asn = faults.read("", values.private_asn, options.cluster_asn) or DEFAULT_ASN
    problems.extend(faults)
    return Configuration(
        asn=asn,
        topology="FullMesh" if options.enable_ibgp else "None",
        reflectors=None,
        port=options.bgp_port,
        timers=Timers(),
        external_timers=Timers(hold=hold, keepalive=max(1, hold // 3)),
        graceful_restart=restart if options.bgp_graceful_restart else None,
        advertise=bgp.Advertise(
            pod_cidrs=options.advertise_pod_cidr,
            cluster_ips=options.advertise_cluster_ip,
            external_ips=options.advertise_external_ip,
            load_balancer_ips=options.advertise_loadbalancer_ip,
        ),
        allow=(),
        import_limit=None,
        attributes=Attributes(),
    )


def _from_object(item: BGPConfiguration, settings: Configuration, faults: Faults) -> Configuration:
    spec = item.spec
    asn = settings.asn if spec.asn is None else faults.read("spec.asn", values.private_asn, spec.asn)
    port = settings.port if spec.listen_port is None else spec.listen_port
    topology = spec.topology or settings.topology
    if topology == "RouteReflectors":
        _check_reflectors(spec.route_reflectors, faults)
    return msgspec.structs.replace(
        settings,
        asn=asn or settings.asn,
        topology=topology,
        reflectors=spec.route_reflectors if topology == "RouteReflectors" else None,
        port=faults.read("spec.listenPort", values.between, port, 1, 65535) or settings.port,
        timers=timers(spec.timers, settings.timers, faults),
        external_timers=timers(spec.timers, settings.external_timers, faults),
        graceful_restart=graceful_restart(spec.graceful_restart, settings.graceful_restart, faults),
        advertise=spec.advertise or settings.advertise,
        allow=allowed(spec.import_, faults) or (),
        import_limit=limit(spec.import_.limit if spec.import_ else None, "spec.import.limit", faults),
        attributes=communities(spec.communities, "spec.communities", faults),
    )


def _check_reflectors(spec: bgp.RouteReflectors | None, faults: Faults) -> None:
    if spec is None or (spec.node_selector is None) == (spec.count is None):
        faults.add("spec.routeReflectors", "expected one of nodeSelector and count")
        return
    if spec.count is not None:
        faults.read("spec.routeReflectors.count", values.between, spec.count, 1, 1000)
    if spec.cluster_id:
        faults.read("spec.routeReflectors.clusterID", values.cluster_id, spec.cluster_id)
