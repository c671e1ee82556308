"""A change costs its own service, and gives what compiling everything afresh gives."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.cluster.bgp import BGPAdvertisement, BGPConfiguration, BGPPeer
from birdctl.cluster.events import Changed, Deleted, Rejected, Replaced
from birdctl.cluster.objects import EndpointSlice, Namespace, Node, Secret, Service
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from tests.unit.routing.build import (
    NOW,
    VERSION,
    advertisement,
    bgp_configuration,
    bgp_peer,
    compiler,
    endpoints,
    namespace,
    node,
    secret,
    selector,
    service,
    sessions,
)

KINDS = (Node, Service, EndpointSlice, Namespace, BGPPeer, BGPAdvertisement, BGPConfiguration)
OPTIONS = {"service_external_ip_range": ["198.51.100.0/24"], "advertise_external_ip": True}

few = st.sampled_from


def timestamp(seconds):
    return dt.datetime.fromtimestamp(NOW + seconds, dt.UTC).isoformat()


def build(make, *args, **fields):
    """Any of what `make` makes of these choices."""
    return st.builds(make, *(few(choices) for choices in args), **{name: few(each) for name, each in fields.items()})


def a_node(number, families, labels, not_ready_since):
    addresses = (f"10.0.0.{number}", f"fd00::{number}")[:families]
    pods = f"10.1.{number}.0/24"
    return node(chr(number), *addresses, pods=pods, labels=labels, not_ready_since=not_ready_since)


def reflected(name, asn, topology):
    return bgp_configuration(name, asn=asn, topology=topology, routeReflectors={"count": 1})


ANY_TEAM = [{}, {"team": "x"}]
SELECTORS = [{}, selector(team="x")]
NAMES, SPACES = ["s1", "s2", "s3"], ["red", "blue"]
EXTERNAL = [(), ("198.51.100.1",), ("198.51.100.1", "198.51.100.2"), ("203.0.113.1",)]
ANNOTATIONS = [{}, {"service.advertise.clusterip": "true"}, {"service.local": "true"}]

objects = st.one_of(
    build(a_node, [97, 98, 99], [0, 1, 2], ANY_TEAM, [None, timestamp(-10), timestamp(-100)]),
    build(
        service,
        NAMES,
        ["10.96.0.1", "10.96.0.2", "None"],
        namespace=SPACES,
        external=EXTERNAL,
        labels=ANY_TEAM,
        annotations=ANNOTATIONS,
    ),
    build(
        endpoints,
        NAMES,
        on=[(), "a", "b", ("a", "b")],
        ready=[None, True, False],
        slice_name=["x1", "x2", "x3"],
        namespace=SPACES,
    ),
    build(namespace, SPACES, team=["x", "y"]),
    build(bgp_peer, ["t1", "t2"], ["10.0.9.1", "10.0.9.2", "10.0.0.98", ""]),
    build(
        advertisement,
        ["one", "two"],
        addresses=[["ClusterIP"], ["ExternalIP"], ["ClusterIP", "ExternalIP"]],
        serviceSelector=SELECTORS,
        namespaceSelector=SELECTORS,
        aggregationLength=[{}, {"ipv4": 24}],
        med=[None, 5, -5],
        peers=[None, ["t1"], ["t2", "t3"]],
    ),
    build(reflected, ["default", "other"], [None, 64600, 0], ["FullMesh", "RouteReflectors"]),
)
"""Any object that matters, from few names, so that histories meet the same ones again."""


@st.composite
def events(draw):
    item = draw(objects)
    match draw(st.integers(0, 9)):
        case 0:
            return Deleted(type(item), item.key)
        case 1:
            return Rejected(type(item), item.key, InputError(item.ref, "spec", "unreadable"))
        case 2:
            return Replaced(type(item), (item,))
        case _:
            return Changed(item)


def busy():
    """A cluster in which most changes matter: everything is advertised, by default or by rule."""
    shared = {"external": ("198.51.100.1",), "labels": {"team": "x"}}
    services = [
        service(name, f"10.96.{SPACES.index(space)}.{NAMES.index(name)}", namespace=space, **shared)
        for name in NAMES
        for space in SPACES
    ]
    return Cluster.of(
        node("a", "10.0.0.97", pods="10.1.97.0/24"),
        node("b", "10.0.0.98", pods="10.1.98.0/24", not_ready_since=timestamp(-10)),
        namespace("red", team="x"),
        namespace("blue"),
        *services,
        *(endpoints(each.name, slice_name=f"x{each.name[1]}", namespace=each.namespace) for each in services),
        bgp_peer("t1", "10.0.9.1"),
        advertisement("one", addresses=["ClusterIP", "ExternalIP"], namespaceSelector=selector(team="x")),
        reflected("default", 64600, "RouteReflectors"),
    )


def told(result):
    return result.config, [str(problem) for problem in result.problems], result.usable, result.recheck_at


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(events(), max_size=4), st.integers(0, 40)), min_size=1, max_size=8))
def test_a_history_of_changes_gives_what_its_end_gives(history):
    cluster, kept, now = busy(), compiler(**OPTIONS), NOW
    kept.compile(cluster, version=VERSION, now=now)
    cluster.take_dirty()
    for batch, seconds in history:
        now += seconds
        for event in batch:
            cluster.apply(event)
        step = kept.compile(cluster, version=VERSION, now=now, dirty=cluster.take_dirty())
        afresh = compiler(**OPTIONS).compile(cluster, version=VERSION, now=now)
        assert told(step) == told(afresh)


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, max_size=12), st.randoms(use_true_random=False))
def test_any_order_of_the_same_objects_gives_the_same(found, random):
    own = node("a", "10.0.0.97", pods="10.1.97.0/24")
    unique = list({(each.kind, each.key): each for each in [*found, own]}.values())
    first = compiler(**OPTIONS).compile(Cluster.of(*unique), version=VERSION, now=NOW)
    random.shuffle(unique)
    assert told(compiler(**OPTIONS).compile(Cluster.of(*unique), version=VERSION, now=NOW)) == told(first)


@pytest.fixture
def cluster():
    services = [service(f"s{i}", f"10.96.{i // 250}.{i % 250 + 1}") for i in range(300)]
    peers = [bgp_peer(f"t{i}", f"10.9.0.{i + 1}") for i in range(20)]
    return Cluster.of(
        node("a", "10.0.0.1", pods="10.1.0.0/24"), *services, *(endpoints(each.name) for each in services), *peers
    )


def test_a_change_of_one_service_leaves_every_other_value_the_same(cluster):
    kept = compiler(advertise_cluster_ip=True)
    before = kept.compile(cluster, version=VERSION, now=NOW).config
    cluster.take_dirty()
    cluster.apply(Changed(service("s7", "10.99.0.7")))
    after = kept.compile(cluster, version=VERSION, now=NOW, dirty=cluster.take_dirty()).config

    assert after.sessions is before.sessions
    assert after.filters is before.filters
    pods, services = after.originated
    assert pods is before.originated[0]
    assert set(map(str, set(services.prefixes) ^ set(before.originated[1].prefixes))) == {
        "10.96.0.8/32",
        "10.99.0.7/32",
    }


def test_kinds_that_do_not_route_cost_nothing(cluster):
    kept = compiler(advertise_cluster_ip=True)
    before = kept.compile(cluster, version=VERSION, now=NOW).config
    after = kept.compile(
        cluster, version=VERSION, now=NOW, dirty={("Pod", "default/x"), ("NetworkPolicy", "default/y")}
    ).config

    assert after == before
    assert after.sessions is before.sessions


def test_another_version_of_bird_is_compiled_for_at_once(cluster):
    kept = compiler()
    kept.compile(cluster, version=VERSION, now=NOW)

    assert kept.compile(cluster, version=(2, 17, 5), now=NOW, dirty=()).config.version == (2, 17, 5)


def test_a_changed_secret_reaches_its_session(cluster):
    kept = compiler()
    cluster.apply(Changed(bgp_peer("t0", "10.9.0.1", passwordSecret={"name": "bgp", "key": "t0"})))
    first = kept.compile(cluster, version=VERSION, now=NOW)
    assert "t0" not in sessions(first)

    for password in ("geheim-1", "geheim-2"):
        cluster.take_dirty()
        cluster.apply(Replaced(Secret, (secret("bgp", t0=password),)))
        step = kept.compile(cluster, version=VERSION, now=NOW, dirty=cluster.take_dirty())
        assert sessions(step)["t0"].password.reveal() == password
        assert password not in repr(step)


def test_a_node_that_comes_back_is_compiled_whole(cluster):
    kept = compiler(advertise_cluster_ip=True)
    before = kept.compile(cluster, version=VERSION, now=NOW)
    own = cluster.get(Node, "a")

    cluster.take_dirty()
    cluster.apply(Deleted(Node, "a"))
    assert not kept.compile(cluster, version=VERSION, now=NOW, dirty=cluster.take_dirty()).usable
    cluster.apply(Changed(own))
    assert kept.compile(cluster, version=VERSION, now=NOW, dirty=cluster.take_dirty()) == before
