"""Schedulers, their flags and session affinity, by annotation and spec."""

from __future__ import annotations

import pytest

from birdctl.services.model import Scheduler, SchedulerFlag
from tests.unit.services.compile.build import compiled, endpoints, only, problems, service

WEB = endpoints("web", "10.1.1.2")
FALLBACK, PORT = SchedulerFlag.FLAG_1, SchedulerFlag.FLAG_2


def annotated(**annotations):
    return compiled(service(annotations={f"service.{key}": value for key, value in annotations.items()}), WEB)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_scheduler_may_be_asked_for(scheduler):
    result = annotated(scheduler=scheduler.value)
    assert only(result).scheduler is scheduler
    assert not problems(result)


def test_kube_routers_annotation_does_and_ours_wins():
    theirs = {"kube-router.io/service.scheduler": "mh"}
    assert only(compiled(service(annotations=theirs), WEB)).scheduler is Scheduler.MH
    both = {**theirs, "birdctl.io/service.scheduler": "lc"}
    assert only(compiled(service(annotations=both), WEB)).scheduler is Scheduler.LC


def test_the_clusters_default_is_a_setting():
    assert only(compiled(service(), WEB)).scheduler is Scheduler.RR
    assert only(compiled(service(), WEB, ipvs_scheduler=Scheduler.MH)).scheduler is Scheduler.MH


def test_an_unknown_scheduler_is_an_error_and_the_default_serves():
    result = compiled(service(annotations={"service.scheduler": "fastest"}), WEB, ipvs_scheduler=Scheduler.LC)
    assert only(result).scheduler is Scheduler.LC
    assert only(result).real_servers
    (told,) = problems(result)
    assert told == (
        "Service default/web: metadata.annotations[birdctl.io/service.scheduler]: 'fastest' is no scheduler; "
        "expected one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh; lc is used"
    )


@pytest.mark.parametrize(
    ("scheduler", "words", "flags"),
    [
        ("mh", "flag-1", {FALLBACK}),
        ("mh", "flag-1,flag-2", {FALLBACK, PORT}),
        ("mh", " mh-fallback , mh-port ", {FALLBACK, PORT}),
        ("sh", "sh-port", {FALLBACK, PORT}),
        ("sh", "sh-fallback,flag-2", {FALLBACK, PORT}),
        ("mh", "flag-3", {FALLBACK}),
        ("mh", "", {FALLBACK}),
    ],
)
def test_schedulers_that_have_flags_always_have_fallback(scheduler, words, flags):
    """Without it they refuse the clients of an endpoint that drains."""
    assert only(annotated(scheduler=scheduler)).flags == {FALLBACK}
    result = annotated(scheduler=scheduler, schedflags=words)
    assert only(result).flags == flags
    assert not problems(result)


@pytest.mark.parametrize(
    ("scheduler", "words", "flags", "problem"),
    [
        (
            "mh",
            "mh-port,sticky",
            {FALLBACK, PORT},
            "'sticky' is no flag of mh; expected some of flag-1, flag-2, flag-3, mh-fal",
        ),
        ("mh", "sh-port", {FALLBACK}, "'sh-port' is no flag of mh"),
        ("rr", "flag-1", set(), "the scheduler rr has no flags; only sh and mh have"),
    ],
)
def test_a_flag_that_means_nothing_is_an_error_and_the_others_are_used(scheduler, words, flags, problem):
    result = annotated(scheduler=scheduler, schedflags=words)
    assert only(result).flags == flags
    (told,) = problems(result)
    assert told.startswith(f"Service default/web: metadata.annotations[birdctl.io/service.schedflags]: {problem}")


def affinity(name, seconds=None):
    config = {} if seconds is None else {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}
    return compiled(service(sessionAffinity=name, **config), WEB)


@pytest.mark.parametrize(
    ("name", "seconds", "persistence"),
    [("None", None, 0), ("ClientIP", None, 10800), ("ClientIP", 1, 1), ("ClientIP", 86400, 86400)],
)
def test_session_affinity_is_persistence_of_its_timeout(name, seconds, persistence):
    result = affinity(name, seconds)
    assert only(result).persistence_seconds == persistence
    assert not problems(result)


@pytest.mark.parametrize(
    ("name", "seconds", "persistence", "problem"),
    [
        ("ClientIP", 0, 10800, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected 1 to 86400, got 0; 10800"),
        ("ClientIP", 86401, 10800, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected 1 to 86400, got 864"),
        ("Cookie", None, 0, "spec.sessionAffinity: expected ClientIP or None, got 'Cookie'; None is used"),
    ],
)
def test_affinity_that_cannot_be_is_an_error_and_the_usual_is_used(name, seconds, persistence, problem):
    result = affinity(name, seconds)
    assert only(result).persistence_seconds == persistence
    assert problem in problems(result)[0]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("internalTrafficPolicy", "Local or Cluster, got 'Nearby'; Cluster is used"),
        ("externalTrafficPolicy", "Local or Cluster, got 'Nearby'; Cluster is used"),
        ("trafficDistribution", "PreferSameZone, PreferSameNode or PreferClose, got 'Nearby'; it means nothing"),
        ("type", "ClusterIP, NodePort, LoadBalancer or ExternalName, got 'Nearby'; it is served as ClusterIP"),
    ],
)
def test_an_unknown_word_is_an_error_and_the_usual_is_used(field, expected):
    result = compiled(service(**{field: "Nearby"}), endpoints("web", "10.1.2.2 on=n2"))
    assert only(result).real_servers
    assert problems(result) == [f"Service default/web: spec.{field}: expected {expected}"]
