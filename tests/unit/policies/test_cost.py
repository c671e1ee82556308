"""Rules and sets grow with what policies say, and a change touches its own part."""

from __future__ import annotations

import ipaddress

import pytest
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.cluster.events import Changed, Deleted
from birdctl.cluster.objects import Pod
from birdctl.cluster.store import Cluster
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from tests.unit.policies.build import block, labels, namespace, node, packet, pod, policy
from tests.unit.policies.network import Network


def busy(local=100, remote=900, policies=200):
    """The cluster that benchmarks load: ten namespaces, each policy selects one app of one, on n1 mostly one pod."""
    yield from (namespace(f"ns{number}", team=f"x{number % 5}") for number in range(10))
    yield from (node(f"n{number}", f"172.30.0.{number}", pods=[f"10.100.{number}.0/24"]) for number in range(1, 21))
    for number in range(local + remote):
        on, place = (1, number) if number < local else (2 + number % 19, number // 19)
        its_labels = {"app": f"a{number // 10 % 20}", "tier": f"t{number % 3}"}
        address = f"10.100.{on}.{2 + place}"
        yield pod(f"ns{number % 10}/p{number}", address, on=f"n{on}", labels=its_labels, ports={"web": 8080})
    for number in range(policies):
        part = block(f"192.168.{number % 256}.0/24", f"192.168.{number % 256}.128/25")
        yield policy(
            f"ns{number % 10}/np{number}",
            labels(app=f"a{number // 10 % 20}"),
            policyTypes=["Ingress", "Egress"],
            ingress=[{"from": [{"podSelector": labels(tier=f"t{number % 3}")}, part], "ports": [{"port": 8080}]}],
            egress=[
                {
                    "to": [{"namespaceSelector": labels(team=f"x{number % 5}")}],
                    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 5432}],
                }
            ],
        )


@pytest.fixture(scope="module")
def loaded():
    cluster = Cluster.of(*busy())
    cluster.take_dirty()
    compiler = PolicyCompiler("n1", PolicyOptions(netpol_default_deny=True))
    return cluster, compiler, compiler.compile(cluster).state


def lines(table):
    """Of iptables-save: chains, their rules, and the hooks."""
    return len(table.hooks) + sum(1 + len(chain.rules) for chain in table.chains.values())


def compiled(*objects, **options):
    return PolicyCompiler("n1", PolicyOptions(**options)).compile(Cluster.of(*objects))


def relabelled(cluster, key, **changed):
    item = cluster.get(Pod, key)
    return Changed(replace(item, metadata=replace(item.metadata, labels={**item.metadata.labels, **changed})))


def test_a_hundred_classes_take_at_most_500_lines_and_200_sets(loaded):
    state = loaded[2]
    assert sum(lines(table) for table in state.tables.values()) <= 500
    assert len(state.sets) <= 200


def test_a_remote_pods_label_changes_members_of_its_selectors_sets_and_nothing_else(loaded):
    cluster, compiler, _ = loaded
    before = compiler.compile(cluster, dirty=()).state
    cluster.apply(relabelled(cluster, "ns0/p500", tier="t9"))
    after = compiler.compile(cluster, dirty=cluster.take_dirty()).state
    changed = [ipset for name, ipset in after.sets.items() if ipset is not before.sets[name]]
    assert [before.sets[ipset.name].entries - ipset.entries for ipset in changed] == [
        {ipaddress.ip_address("10.100.8.28")}
    ]
    assert all(after.tables[family] is before.tables[family] for family in Family)


def test_a_policy_that_selects_no_pod_of_the_node_costs_nothing():
    here, there = pod("red/a", "10.1.1.2"), pod("red/b", "10.1.2.2", on="n2", labels={"app": "b"})
    state = compiled(here, there, policy("red/p", labels(app="b"))).state
    assert not state.sets
    assert not any(table.chains or table.hooks for table in state.tables.values())


def test_many_pods_of_one_class_share_their_rules():
    def with_pods(number):
        pods = [pod(f"red/p{each}", f"10.1.1.{each + 2}", labels={"app": "x"}) for each in range(number)]
        return compiled(*pods, policy("red/p", {}, ingress=[{"from": [{"podSelector": {}}]}])).state

    few, many = with_pods(5), with_pods(200)
    assert lines(few.tables[Family.IPV4]) == lines(many.tables[Family.IPV4])
    assert len(few.sets) == len(many.sets)


def test_selectors_that_mean_the_same_share_a_set():
    spellings = [
        {"matchLabels": {"a": "1", "b": "2"}},
        {"matchExpressions": [{"key": "b", "operator": "In", "values": ["2", "2"]}], "matchLabels": {"a": "1"}},
    ]
    rules = [{"from": [{"podSelector": each}], "ports": [{"port": port}]} for port, each in enumerate(spellings, 80)]
    state = compiled(pod("red/a", "10.1.1.2"), policy("red/p", {}, ingress=rules)).state
    assert [ipset.meaning for ipset in state.sets.values() if "pods4" in ipset.name] == [
        "pods a=1,b=2 of namespace red"
    ]


def test_a_selector_may_match_more_than_65536_addresses():
    def crowd():
        for number in range(66_000):
            yield pod(f"red/p{number}", f"10.{2 + number // 65536}.{number // 256 % 256}.{number % 256}", on="n2")

    web = pod("blue/web", "10.1.1.2")
    everyone = policy("blue/p", {}, ingress=[{"from": [{"namespaceSelector": {}}]}])
    state = compiled(*crowd(), web, everyone).state
    (ipset,) = (each for each in state.sets.values() if each.meaning == "all pods of all namespaces")
    assert len(ipset.entries) == 66_001
    assert ipset.max_entries >= len(ipset.entries)


def test_a_pod_that_comes_late_and_goes_leaves_the_state_as_it_was():
    cluster = Cluster.of(*busy(local=20, remote=20, policies=200))
    compiler = PolicyCompiler("n1", PolicyOptions())
    before = compiler.compile(cluster).state
    cluster.take_dirty()
    late = pod("ns1/late", "10.100.1.250", labels={"app": "a1", "tier": "t1"})
    cluster.apply(Changed(late))
    assert compiler.compile(cluster, dirty=cluster.take_dirty()).state != before
    cluster.apply(Deleted(Pod, late.key))
    assert compiler.compile(cluster, dirty=cluster.take_dirty()).state == before


LONG = "x" * 63
HOSTILE = [("foo", "bar"), ("foob", "ar"), (LONG, LONG), (LONG, f"{LONG[:-1]}y"), ("a-b", "c"), ("a", "b-c")]


def test_hostile_names_never_share_a_set_or_a_chain():
    """Every policy allows its own neighbour alone, by a selector whose words join to the same text as another's."""
    objects = []
    for number, (space, name) in enumerate(HOSTILE):
        objects += [
            pod(f"{space}/{name}", f"10.1.1.{number + 2}", labels={"app": name}),
            pod(f"{space}/friend{number}", f"10.1.2.{number + 2}", on="n2", labels={space: name}),
            policy(f"{space}/{name}", labels(app=name), ingress=[{"from": [{"podSelector": labels(**{space: name})}]}]),
        ]
    network = Network(Cluster.of(node("n1", "172.16.0.1"), node("n2", "172.16.0.2"), *objects))
    pairs = [(source, target) for source in range(len(HOSTILE)) for target in range(len(HOSTILE))]
    reached = [
        (source, target)
        for source, target in pairs
        if network.allows(packet(f"10.1.2.{source + 2}", f"10.1.1.{target + 2}"))
    ]
    assert reached == [(number, number) for number in range(len(HOSTILE))]


def test_names_fit_the_kernel(loaded):
    state = loaded[2]
    assert all(len(name) <= 31 for name in state.sets)
    assert all(len(name) <= 28 for table in state.tables.values() for name in table.chains)
