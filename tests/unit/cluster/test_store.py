"""What the store holds after events, and which keys it calls dirty."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.cluster.events import Changed, Deleted, Event, Rejected, Replaced
from birdctl.cluster.objects import EndpointSlice, Node, NodeSpec, Object, ObjectMeta
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError


def node(name: str, cidr: str = "10.1.0.0/24", **metadata: object) -> Node:
    return Node(metadata=ObjectMeta(name=name, **metadata), spec=NodeSpec(pod_cidr=cidr, pod_cidrs=(cidr,)))


def endpoints(name: str, service: str) -> EndpointSlice:
    labels = {"kubernetes.io/service-name": service} if service else {}
    return EndpointSlice(metadata=ObjectMeta(name=name, namespace="shop", labels=labels))


def error(name: str, problem: str = "expected int, got str") -> InputError:
    return InputError(f"Node {name}", "spec.podCIDR", problem)


def after(*events: Event) -> Cluster:
    cluster = Cluster()
    for event in events:
        cluster.apply(event)
    return cluster


N1 = ("Node", "n1")


def test_a_complete_list_takes_the_place_of_the_one_before():
    cluster = after(Replaced(Node, (node("n1"), node("n2"))), Replaced(Node, (node("n2"), node("n3"))))
    assert set(cluster.objects(Node)) == {"n2", "n3"}
    assert cluster.get(Node, "n1") is None


def test_a_store_is_synced_when_a_complete_list_of_every_kind_has_come():
    cluster = after(Replaced(Node))
    assert cluster.synced([Node])
    assert not cluster.synced([Node, EndpointSlice])


@pytest.mark.parametrize(
    ("event", "dirty"),
    [
        (Changed(node("n1")), set()),
        (Changed(node("n1", resource_version="7")), set()),
        (Changed(node("n1", annotations={"birdctl.io/bgp-state": "3/3", "birdctl.io/asn": "64512"})), set()),
        (Changed(node("n1", annotations={"birdctl.io/node.asn": "64512"})), {N1}),
        (Changed(node("n1", labels={"rack": "a"})), {N1}),
        (Changed(node("n1", "10.2.0.0/24")), {N1}),
        (Changed(node("n2")), {("Node", "n2")}),
        (Deleted(Node, "n1"), {N1}),
        (Deleted(Node, "n2"), set()),
        (Rejected(Node, "n1", error("n1")), {N1}),
        (Rejected(Node, "n2", error("n2")), {("Node", "n2")}),
        (Replaced(Node, (node("n1"),)), set()),
        (Replaced(Node), {N1}),
        (Replaced(Node, (), {"n1": error("n1")}), {N1}),
    ],
)
def test_a_key_is_dirty_when_something_that_birdctl_reads_has_changed(event: Event, dirty: set[tuple[str, str]]):
    cluster = after(Replaced(Node, (node("n1"),)))
    cluster.take_dirty()
    cluster.apply(event)
    assert cluster.take_dirty() == dirty
    assert not cluster.take_dirty()


def test_a_bad_object_does_not_keep_its_good_version():
    cluster = after(Replaced(Node, (node("n1"),)), Rejected(Node, "n1", error("n1")))
    assert cluster.get(Node, "n1") is None
    assert cluster.errors == {N1: error("n1")} or str(cluster.errors[N1]) == str(error("n1"))


def test_what_remains_of_a_bad_object_takes_its_place_until_it_is_right():
    cluster = after(Replaced(Node, (node("n1"),)), Rejected(Node, "n1", error("n1"), remains=node("n1", "")))
    assert cluster.get(Node, "n1") == node("n1", "")
    assert set(cluster.errors) == {N1}
    cluster.take_dirty()
    cluster.apply(Replaced(Node, (), {"n1": error("n1")}, {"n1": node("n1", "")}))
    assert cluster.get(Node, "n1") == node("n1", "")
    assert not cluster.take_dirty()
    cluster.apply(Replaced(Node, (), {"n1": error("n1")}, {"n1": node("n1", "10.9.0.0/24")}))
    assert cluster.take_dirty() == {N1}
    cluster.apply(Changed(node("n1")))
    assert not cluster.errors
    assert cluster.take_dirty() == {N1}


@pytest.mark.parametrize(
    "event", [Changed(node("n1")), Deleted(Node, "n1"), Replaced(Node), Replaced(Node, (node("n1"),))]
)
def test_an_error_goes_with_the_object_that_had_it_and_makes_it_dirty(event: Event):
    cluster = after(Replaced(Node, (), {"n1": error("n1")}))
    cluster.take_dirty()
    cluster.apply(event)
    assert not cluster.errors
    assert cluster.take_dirty() == {N1}


def test_the_same_error_again_is_not_dirty_and_another_is():
    cluster = after(Rejected(Node, "n1", error("n1")))
    cluster.take_dirty()
    cluster.apply(Rejected(Node, "n1", error("n1")))
    assert not cluster.take_dirty()
    cluster.apply(Rejected(Node, "n1", error("n1", "is required")))
    assert cluster.take_dirty() == {N1}


def test_texts_that_hold_no_object_are_errors_by_their_place():
    cluster = after(Replaced(Object, (), {"a.yaml line 3": InputError("a.yaml line 3", "", "not YAML")}))
    assert set(cluster.errors) == {("Object", "a.yaml line 3")}
    cluster.apply(Replaced(Object))
    assert not cluster.errors


def test_slices_are_found_by_their_service():
    cluster = Cluster.of(endpoints("web-2", "web"), endpoints("web-1", "web"), endpoints("db-1", "db"))
    assert [item.name for item in cluster.slices_of("shop/web")] == ["web-1", "web-2"]
    cluster.apply(Changed(endpoints("web-1", "db")))
    cluster.apply(Deleted(EndpointSlice, "shop/web-2"))
    assert cluster.slices_of("shop/web") == ()
    assert [item.name for item in cluster.slices_of("shop/db")] == ["db-1", "web-1"]


def test_what_the_store_shows_cannot_be_changed():
    with pytest.raises(TypeError):
        Cluster.of(node("n1")).objects(Node)["n2"] = node("n2")  # type: ignore[index]


names = st.sampled_from(["a", "b", "c"])
services = st.sampled_from(["", "web", "db"])
slices = st.builds(endpoints, names, services)
events = st.one_of(
    st.builds(Changed, slices),
    st.builds(Deleted, st.just(EndpointSlice), names.map("shop/{}".format)),
    st.builds(Rejected, st.just(EndpointSlice), names.map("shop/{}".format), st.builds(error, names)),
    st.lists(slices, unique_by=lambda item: item.name).map(lambda items: Replaced(EndpointSlice, tuple(items))),
)


@given(st.lists(events, max_size=12))
def test_however_it_got_there_the_store_is_as_if_listed_at_once(history: Sequence[Event]):
    cluster = after(*history)
    final = tuple(cluster.objects(EndpointSlice).values())
    at_once = after(Replaced(EndpointSlice, final))
    assert at_once.objects(EndpointSlice) == cluster.objects(EndpointSlice)
    for service in ("shop/web", "shop/db", ""):
        assert at_once.slices_of(service) == cluster.slices_of(service)


@given(st.lists(events, max_size=8), events)
def test_what_is_not_dirty_has_not_changed(history: Sequence[Event], last: Event):
    cluster = after(*history)
    before = dict(cluster.objects(EndpointSlice))
    cluster.take_dirty()
    cluster.apply(last)
    now = cluster.objects(EndpointSlice)
    changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    assert {("EndpointSlice", key) for key in changed} <= cluster.take_dirty()


def test_objects_are_compared_by_value():
    assert msgspec.structs.replace(node("n1")) == node("n1")
