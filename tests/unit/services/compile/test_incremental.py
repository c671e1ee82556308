"""A change costs its own service, and gives what compiling everything afresh gives."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.cluster.events import Changed, Deleted, Rejected
from birdctl.cluster.objects import Service
from birdctl.cluster.store import Cluster
from birdctl.errors import InputError
from birdctl.services.model import Mark
from tests.unit.services.compile import worlds
from tests.unit.services.compile.build import N1, compiler, endpoints, node, port, service

ERROR = InputError("Service default/a", "spec", "is not readable")
LOCAL = [frozenset(map(ip_address, some)) for some in ([], ["172.16.0.1"], ["172.16.0.1", "192.168.0.1"])]


def of(result):
    """All of it; errors compare by what they say."""
    parts = {
        key: [getattr(part, name) for name in part.__struct_fields__ if name != "problems"]
        for key, part in result.services.items()
    }
    return result.state, parts, list(map(str, result.problems)), list(map(str, result.orphans)), result.grace


def different(before, after):
    """The keys whose values differ."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


steps = st.one_of(
    st.one_of(worlds.nodes, worlds.pools).map(lambda item: [Changed(item)]),
    worlds.objects.map(lambda item: [Changed(item)]),
    worlds.objects.map(lambda item: [Deleted(type(item), item.key)]),
    st.just([Rejected(Service, "default/a", ERROR)]),
    worlds.worlds.map(lambda items: [Changed(item) for item in items]),
)


@settings(max_examples=300, deadline=None)
@given(
    items=worlds.worlds,
    histories=st.lists(st.tuples(steps, st.sampled_from(LOCAL)), min_size=1, max_size=12),
    options=worlds.options,
)
def test_changes_one_by_one_give_what_everything_at_once_gives(items, histories, options):
    cluster = Cluster.of(*items)
    compiling = compiler(**options)
    before = compiling.compile(cluster)
    cluster.take_dirty()
    for events, local in histories:
        for event in events:
            cluster.apply(event)
        after = compiling.compile(cluster, local=local, dirty=cluster.take_dirty())
        assert of(after) == of(compiler(**options).compile(cluster, local=local))
        known, now = before.state.virtual_servers, after.state.virtual_servers
        assert after.touched == different(known, now)
        assert all(now[key] is server for key, server in known.items() if key not in after.touched)
        before = after


def test_a_node_that_takes_an_external_ip_has_it_from_then_on():
    cluster = Cluster.of(N1, service(externalIPs=["198.51.100.1"]), endpoints("web", "10.1.1.2"))
    compiling = compiler()
    assert len(compiling.compile(cluster).state.addresses) == 2
    cluster.take_dirty()
    cluster.apply(Changed(node("n2", "198.51.100.1")))
    after = compiling.compile(cluster, dirty=cluster.take_dirty())
    assert after.touched == {port("198.51.100.1", 80)}
    assert len(after.state.addresses) == 1


def test_node_ports_follow_the_nodes_address():
    cluster = Cluster.of(N1, service(node_ports=[30080]), endpoints("web", "10.1.1.2"))
    compiling = compiler()
    compiling.compile(cluster)
    cluster.take_dirty()
    cluster.apply(Changed(node("n1", "172.16.0.99")))
    after = compiling.compile(cluster, dirty=cluster.take_dirty())
    assert after.touched == {port("172.16.0.1", 30080), port("172.16.0.99", 30080)}


@settings(max_examples=100, deadline=None)
@given(items=worlds.worlds, random=st.randoms(), options=worlds.options)
def test_the_order_of_the_objects_does_not_matter(items, random, options):
    shuffled = list(items)
    random.shuffle(shuffled)
    first, second = (compiler(**options).compile(Cluster.of(*each)) for each in (items, shuffled))
    assert of(first) == of(second)


@settings(max_examples=100, deadline=None)
@given(items=worlds.worlds, options=worlds.options)
def test_a_compilation_without_a_change_gives_the_same_objects(items, options):
    cluster = Cluster.of(*items)
    compiling = compiler(**options)
    before = compiling.compile(cluster)
    dirty = {("Service", item.key) for item in cluster.objects(Service).values()}
    after = compiling.compile(cluster, dirty=dirty)
    assert after.touched == frozenset()
    for name in before.state.__struct_fields__:
        assert getattr(after.state, name) is getattr(before.state, name)
    assert all(after.services[key] is part for key, part in before.services.items())


@settings(max_examples=200, deadline=None)
@given(items=worlds.worlds, options=worlds.options)
def test_what_is_held_is_served_and_every_mark_has_its_direct_return(items, options):
    state = compiler(**options).compile(Cluster.of(*items)).state
    assert {port.address for port in state.vip_ports} <= state.addresses
    direct = {each.port: each.mark for each in state.direct_returns}
    assert state.vip_ports <= state.virtual_servers.keys()
    assert state.unserved <= state.virtual_servers.keys() | direct.keys()
    marked = {server.owner: key.mark for key, server in state.virtual_servers.items() if isinstance(key, Mark)}
    assert {(each.address, each.protocol, each.port): mark for each, mark in marked.items()} == {
        (each.address, each.protocol, each.port): mark for each, mark in direct.items()
    }
    assert not direct.keys() & state.virtual_servers.keys()
