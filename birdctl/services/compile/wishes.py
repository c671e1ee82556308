"""What a service's spec and annotations ask for: scheduler, affinity, policies, hairpin, direct server return.

A word that means nothing is a fault of its own, and what holds without it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from birdctl.cluster.annotations import annotation
from birdctl.cluster.complaint import one_of
from birdctl.cluster.faults import Faults
from birdctl.cluster.objects import Labels, Service
from birdctl.cluster.serviceaddresses import stays_local
from birdctl.services.model import Scheduler, SchedulerFlag
from birdctl.services.options import ServiceOptions

_FLAGS: dict[Scheduler, dict[str, SchedulerFlag | None]] = {
    scheduler: {
        "flag-1": SchedulerFlag.FLAG_1,
        "flag-2": SchedulerFlag.FLAG_2,
        "flag-3": None,  # means nothing to either of them
        f"{scheduler}-fallback": SchedulerFlag.FLAG_1,
        f"{scheduler}-port": SchedulerFlag.FLAG_2,
    }
    for scheduler in (Scheduler.SH, Scheduler.MH)
}
_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_POLICIES = ("Local", "Cluster")
DISTRIBUTIONS = ("PreferSameZone", "PreferSameNode", "PreferClose")
"""Of traffic. All of them prefer the zone; one of them the node even more."""
_LONGEST_AFFINITY = 86400  # core/v1, ClientIPConfig
_USUAL_AFFINITY = 10800


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """`hairpin_external`: through external and load balancer addresses. `direct`: direct server return there."""

    scheduler: Scheduler
    flags: frozenset[SchedulerFlag]
    persistence_seconds: int
    internal_local: bool
    external_local: bool
    hairpin: bool
    hairpin_external: bool
    direct: bool


def wishes(service: Service, options: ServiceOptions, faults: Faults) -> Wishes:
    annotations, spec = service.metadata.annotations, service.spec
    _check("spec.type", spec.type, _TYPES, "it is served as ClusterIP", faults)
    _check("spec.internalTrafficPolicy", spec.internal_traffic_policy, _POLICIES, "Cluster is used", faults)
    _check("spec.externalTrafficPolicy", spec.external_traffic_policy, _POLICIES, "Cluster is used", faults)
    _check("spec.trafficDistribution", spec.traffic_distribution, DISTRIBUTIONS, "it means nothing", faults)
    scheduler = _scheduler(annotations, options, faults)
    return Wishes(
        scheduler=scheduler,
        flags=_flags(annotations, scheduler, faults),
        persistence_seconds=_persistence(service, faults),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=stays_local(service),
        hairpin=options.hairpin_mode or annotation(annotations, "service.hairpin") is not None,
        hairpin_external=options.hairpin_mode or annotation(annotations, "service.hairpin.externalips") is not None,
        direct=_direct(annotations, faults),
    )


def _scheduler(annotations: Labels, options: ServiceOptions, faults: Faults) -> Scheduler:
    found = annotation(annotations, "service.scheduler")
    if found is None:
        return options.ipvs_scheduler
    try:
        return Scheduler(found.word)
    except ValueError:
        known = ", ".join(Scheduler)
        faults.add(
            found.field, f"{found.word!r} is no scheduler; expected one of {known}; {options.ipvs_scheduler} is used"
        )
        return options.ipvs_scheduler


def _flags(annotations: Labels, scheduler: Scheduler, faults: Faults) -> frozenset[SchedulerFlag]:
    """Always with fallback where there is one: without it, the clients of an endpoint that drains are refused."""
    found, known = annotation(annotations, "service.schedflags"), _FLAGS.get(scheduler)
    if found is None:
        return frozenset({SchedulerFlag.FLAG_1}) if known else frozenset()
    if known is None:
        faults.add(found.field, f"the scheduler {scheduler} has no flags; only {' and '.join(_FLAGS)} have")
        return frozenset()

    def understood() -> Iterator[SchedulerFlag]:
        for word in found.items():
            if word not in known:
                faults.add(found.field, f"{word!r} is no flag of {scheduler}; expected some of {', '.join(known)}")
            elif flag := known[word]:
                yield flag

    return frozenset({SchedulerFlag.FLAG_1, *understood()})


def _persistence(service: Service, faults: Faults) -> int:
    match service.spec.session_affinity:
        case "ClientIP":
            seconds = service.spec.session_affinity_config.client_ip.timeout_seconds
            if 1 <= seconds <= _LONGEST_AFFINITY:
                return seconds
            field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            faults.add(field, f"expected 1 to {_LONGEST_AFFINITY}, got {seconds}; {_USUAL_AFFINITY} is used")
            return _USUAL_AFFINITY
        case "None" | "":
            return 0
        case other:
            faults.add("spec.sessionAffinity", f"expected ClientIP or None, got {other!r}; None is used")
            return 0


def _check(field: str, word: str, known: Sequence[str], instead: str, faults: Faults) -> None:
    if word and word not in known:
        faults.add(field, f"expected {one_of(known)}, got {word!r}; {instead}")


def _direct(annotations: Labels, faults: Faults) -> bool:
    found = annotation(annotations, "service.dsr")
    if found and found.word != "tunnel":
        faults.add(found.field, f"expected tunnel, got {found.word!r}; answers go back through this node")
    return found is not None and found.word == "tunnel"
