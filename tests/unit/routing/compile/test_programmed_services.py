"""With the service proxy on, an address is announced only while this node's proxy serves it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.cluster.events import Changed, Deleted
from birdctl.cluster.objects import ObjectMeta
from birdctl.cluster.programmed import ProgrammedService
from birdctl.cluster.store import Cluster
from tests.unit.routing.build import (
    NOW,
    VERSION,
    bgp_peer,
    compiled,
    compiler,
    endpoints,
    node,
    originated,
    service,
)

A = node("a", "10.0.0.1")
TOR = bgp_peer("tor1", "10.0.0.9")
WEB = service("web", "10.96.0.1", external=("198.51.100.1",))
OPTIONS = {
    "advertise_cluster_ip": True,
    "advertise_external_ip": True,
    "service_external_ip_range": ["198.51.100.0/24"],
    "only_programmed": True,
}


def programmed(name="web", *, addresses=(), serving=()):
    """The proxy answers on both lists, and has endpoints for the second."""
    return ProgrammedService(
        metadata=ObjectMeta(name=name, namespace="default"),
        addresses=frozenset(map(ip_address, (*addresses, *serving))),
        serving=frozenset(map(ip_address, serving)),
    )


def announced(result):
    found = originated(result)
    return sorted(prefix for name, prefixes in found.items() if name.startswith("services") for prefix in prefixes)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], []),
        ([programmed()], []),
        ([programmed(addresses=["10.96.0.1"])], []),
        ([programmed(serving=["10.96.0.1"])], ["10.96.0.1/32"]),
        ([programmed(serving=["10.96.0.1", "198.51.100.1"])], ["10.96.0.1/32", "198.51.100.1/32"]),
        ([programmed("other", serving=["10.96.0.1"])], []),
    ],
)
def test_only_what_the_proxy_serves_is_announced(said, expected):
    assert announced(compiled(A, TOR, WEB, endpoints("web"), *said, **OPTIONS)) == expected


def test_without_ready_endpoints_nothing_is_announced_whatever_the_proxy_serves():
    assert announced(compiled(A, TOR, WEB, programmed(serving=["10.96.0.1"]), **OPTIONS)) == []


def test_an_idle_address_needs_no_endpoints_where_idle_ones_are_announced():
    objects = (A, TOR, WEB, programmed(addresses=["10.96.0.1"]))
    assert announced(compiled(*objects, **OPTIONS, advertise_without_endpoints=True)) == ["10.96.0.1/32"]


def test_without_the_service_proxy_nobody_has_to_say_anything():
    result = compiled(A, TOR, WEB, endpoints("web"), **{**OPTIONS, "only_programmed": False})
    assert announced(result) == ["10.96.0.1/32", "198.51.100.1/32"]


SAID = st.lists(
    st.one_of(
        st.just(Deleted(ProgrammedService, "default/web")),
        st.sampled_from([[], ["10.96.0.1"], ["10.96.0.1", "198.51.100.1"]]).map(
            lambda serving: Changed(programmed(serving=serving))
        ),
    ),
    max_size=6,
)


@given(SAID)
def test_word_by_word_it_comes_to_the_same_as_at_once(events):
    cluster = Cluster.of(A, TOR, WEB, endpoints("web"))
    one_by_one = compiler(**OPTIONS)
    one_by_one.compile(cluster, version=VERSION, now=NOW)
    cluster.take_dirty()
    for event in events:
        cluster.apply(event)
        found = one_by_one.compile(cluster, version=VERSION, now=NOW, dirty=cluster.take_dirty())
        assert found.config == compiler(**OPTIONS).compile(cluster, version=VERSION, now=NOW).config
