"""What NetworkPolicies allow, packet by packet: the compiled rules of every node and the objects must say the same.

Two nodes; `web` (red) is the pod that policies select.
"""

from __future__ import annotations

import pytest

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.netfilter.model import SetType
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from birdctl.policies.semantics import judge
from birdctl.policies.simulate import verdict
from tests.unit.policies.build import block, cluster_policy, expression, labels, namespace, node, packet, pod, policy
from tests.unit.policies.network import Network

WEB, DB, TEST = "10.1.1.2", "10.1.2.2", "10.1.1.3"
WEB6, DB6 = "fd00:1::2", "fd00:2::2"
OWN_NODE, OTHER_NODE, OUTSIDE = "172.16.0.1", "172.16.0.2", "198.51.100.7"

PODS = {"podSelector": {}}
EVERYWHERE = {"namespaceSelector": {}}
APP_WEB = labels(app="web")


def cluster(*policies, also=()):
    return Cluster.of(
        node("n1", OWN_NODE, "fd00::1", pods=["10.1.1.0/24", "fd00:1::/64"]),
        node("n2", OTHER_NODE, "fd00::2", pods=["10.1.2.0/24", "fd00:2::/64"]),
        namespace("red", team="x"),
        namespace("blue", team="y"),
        pod("red/web", WEB, WEB6, labels={"app": "web"}, ports={"http": 80, "alt": 8080, "dns": (53, "UDP")}),
        pod("red/db", DB, DB6, on="n2", labels={"app": "db"}, ports={"http": 8081, "dns": (53, "TCP")}),
        pod("blue/test", TEST, labels={"app": "web", "tier": "t"}, ports={"http": 80, "http2": 81}),
        *policies,
        *also,
    )


def reachable(sources, *policies, port=80, protocol="tcp", to=WEB):
    """Those of `sources` that reach web."""
    network = Network(cluster(*policies))
    return [source for source in sources if network.allows(packet(source, to, port, protocol))]


def ingress(*rules, **spec):
    return policy("red/p", APP_WEB, ingress=list(rules), **spec)


def egress(*rules, **spec):
    return policy("red/p", APP_WEB, egress=list(rules), **{"policyTypes": ["Egress"], **spec})


ALL = [DB, TEST, OTHER_NODE, OUTSIDE]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], []),
        ([{}], ALL),
        ([{"from": []}], ALL),
        ([{"from": [PODS]}], [DB]),
        ([{"from": [EVERYWHERE]}], [DB, TEST]),
        ([{"from": [{"podSelector": APP_WEB}]}], []),
        ([{"from": [{"podSelector": APP_WEB, "namespaceSelector": {}}]}], [TEST]),
        ([{"from": [{"namespaceSelector": labels(team="y")}]}], [TEST]),
        ([{"from": [{"namespaceSelector": labels(**{"kubernetes.io/metadata.name": "blue"})}]}], [TEST]),
        ([{"from": [{"namespaceSelector": expression("team", "NotIn", "y")}]}], [DB]),
        ([{"from": [{**EVERYWHERE, "podSelector": expression("tier", "DoesNotExist")}]}], [DB]),
        ([{"from": [{**EVERYWHERE, "podSelector": expression("app", "In", "db", "web")}]}], [DB, TEST]),
        ([{"from": [{**EVERYWHERE, "podSelector": {**APP_WEB, **expression("tier", "Exists")}}]}], [TEST]),
        ([{"from": [{"podSelector": labels(app="db")}, {"namespaceSelector": labels(team="y")}]}], [DB, TEST]),
        ([{"from": [PODS]}, {"from": [block("198.51.100.0/24")]}], [DB, OUTSIDE]),
        ([{"from": [block("0.0.0.0/0")]}], ALL),
        ([{"from": [block("::/0")]}], []),
        ([{"from": [block("0.0.0.0/0", "10.1.0.0/16")]}], [OTHER_NODE, OUTSIDE]),
        ([{"from": [block("0.0.0.0/0", "0.0.0.0/1")]}], [OTHER_NODE, OUTSIDE]),
        ([{"from": [block("10.1.0.0/16", "10.1.1.0/24")]}], [DB]),
        ([{"from": [block("10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/28")]}], [DB]),
        ([{"from": [block("10.1.2.77/24")]}], [DB]),
        ([{"from": [block("172.16.0.0/24")]}], [OTHER_NODE]),
        ([{"from": [block("10.0.0.0/8"), block("10.1.0.0/16", "10.1.2.0/24")]}], [DB, TEST]),
        ([{"from": [block("10.1.0.0/16", "10.1.2.0/24"), block("10.1.0.0/16", "10.1.1.0/24")]}], [DB, TEST]),
    ],
)
def test_peers(rules, expected):
    assert reachable(ALL, ingress(*rules)) == expected


@pytest.mark.parametrize(
    ("port", "arriving"),
    [
        ({}, [("tcp", 80), ("tcp", 8080)]),
        ({"port": 80}, [("tcp", 80)]),
        ({"port": 80, "protocol": "UDP"}, [("udp", 80)]),
        ({"port": 80, "protocol": "SCTP"}, [("sctp", 80)]),
        ({"protocol": "UDP"}, [("udp", 53), ("udp", 80)]),
        ({"protocol": "SCTP"}, [("sctp", 80)]),
        ({"port": 79, "endPort": 80}, [("tcp", 80)]),
        ({"port": 1, "endPort": 65535}, [("tcp", 80), ("tcp", 8080)]),
        ({"port": 80, "endPort": 80}, [("tcp", 80)]),
        ({"port": "http"}, [("tcp", 80)]),
        ({"port": "alt"}, [("tcp", 8080)]),
        ({"port": "dns"}, []),
        ({"port": "dns", "protocol": "UDP"}, [("udp", 53)]),
        ({"port": "unheard-of"}, []),
    ],
)
def test_ports(port, arriving):
    network = Network(cluster(ingress({"ports": [port]})))
    tried = [("tcp", 80), ("tcp", 8080), ("udp", 53), ("udp", 80), ("sctp", 80), ("icmp", 8)]
    assert [one for one in tried if network.allows(packet(DB, WEB, one[1], one[0]))] == arriving


def test_a_rule_without_ports_allows_every_protocol():
    network = Network(cluster(ingress({"from": [PODS]})))
    assert network.allows(packet(DB, WEB, 8, "icmp"))
    assert network.allows(packet(DB, WEB, 9, "udp"))


@pytest.mark.parametrize(
    ("rule", "arriving"),
    [
        ({"to": [EVERYWHERE]}, [(DB, 80), (DB, 8081), (TEST, 80), (TEST, 81)]),
        ({"to": [PODS], "ports": [{"port": "http"}]}, [(DB, 8081)]),
        ({"to": [EVERYWHERE], "ports": [{"port": "http"}]}, [(DB, 8081), (TEST, 80), (TEST, 81)]),
        ({"ports": [{"port": "http"}]}, [(DB, 8081), (TEST, 80), (TEST, 81)]),
        ({"ports": [{"port": "http", "protocol": "UDP"}]}, []),
        ({"to": [block("0.0.0.0/0")], "ports": [{"port": "http"}]}, [(DB, 8081), (TEST, 80), (TEST, 81)]),
        ({"to": [block("10.1.0.0/16", f"{TEST}/32")], "ports": [{"port": "http"}]}, [(DB, 8081)]),
        ({"to": [block("10.1.1.0/24"), PODS], "ports": [{"port": "http"}]}, [(DB, 8081), (TEST, 80), (TEST, 81)]),
        ({"to": [block("fd00:2::/64")], "ports": [{"port": "http"}]}, []),
        ({"to": [block("10.1.1.0/24")], "ports": [{"port": 80}]}, [(TEST, 80)]),
        ({"to": [block("198.51.100.0/24")]}, [(OUTSIDE, 80)]),
    ],
)
def test_egress(rule, arriving):
    network = Network(cluster(egress(rule)))
    tried = [(DB, 80), (DB, 8081), (TEST, 80), (TEST, 81), (OUTSIDE, 80), (OTHER_NODE, 80)]
    assert [one for one in tried if network.allows(packet(WEB, *one))] == arriving


def test_an_ingress_block_and_a_named_port_of_the_selected_pod_go_together():
    assert reachable([OUTSIDE], ingress({"from": [block("198.51.100.0/24")], "ports": [{"port": "http"}]})) == [OUTSIDE]


def test_both_ends_must_allow():
    out = policy("red/out", labels(app="db"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": APP_WEB}]}])
    assert reachable([DB], ingress(), out) == []
    assert reachable([DB], ingress({"from": [PODS]}), out) == [DB]
    assert reachable([DB], out, to=TEST) == []


def test_an_egress_allowance_of_the_policy_does_not_open_the_ingress_of_the_same_policy():
    both = policy("red/both", {}, policyTypes=["Ingress", "Egress"], egress=[{}], ingress=[])
    assert reachable([DB], both) == []


def test_policies_add_up():
    one = policy("red/one", APP_WEB, ingress=[{"from": [PODS]}])
    two = policy("red/two", {}, ingress=[{"from": [{"namespaceSelector": labels(team="y")}]}])
    assert reachable(ALL, one, two) == [DB, TEST]


@pytest.mark.parametrize(
    ("spec", "closes"),
    [
        ({}, (True, False)),
        ({"egress": [{"to": [block("192.0.2.0/24")]}]}, (True, True)),
        ({"ingress": [{"from": [block("192.0.2.0/24")]}]}, (True, False)),
        ({"policyTypes": ["Egress"]}, (False, True)),
        ({"policyTypes": ["Egress"], "ingress": [{"from": [block("192.0.2.0/24")]}]}, (False, True)),
        ({"policyTypes": ["Ingress"], "egress": [{"to": [block("192.0.2.0/24")]}]}, (True, False)),
        ({"policyTypes": []}, (True, False)),
        ({"policyTypes": None, "ingress": None, "egress": None}, (True, False)),
        ({"egress": []}, (True, False)),
    ],
)
def test_absent_policy_types_are_filled_in_as_an_api_server_does(spec, closes):
    network = Network(cluster(policy("red/p", APP_WEB, **spec)))
    assert (not network.allows(packet(DB, WEB)), not network.allows(packet(WEB, DB))) == closes


@pytest.mark.parametrize("default_deny", [False, True])
def test_a_pod_and_its_own_node_always_reach_each_other(default_deny):
    closed = policy("red/closed", {}, policyTypes=["Ingress", "Egress"])
    network = Network(cluster(closed), netpol_default_deny=default_deny)
    assert network.allows(packet(OWN_NODE, WEB))
    assert network.allows(packet(WEB, OWN_NODE))
    assert not network.allows(packet(OTHER_NODE, WEB))
    assert not network.allows(packet(WEB, OTHER_NODE))


def test_the_annotation_of_pod_cidrs_says_which_addresses_are_closed_by_default():
    nodes = Cluster.of(node("n1", OWN_NODE, pods=["10.1.1.0/24"], annotations={"birdctl.io/pod-cidrs": "10.7.0.0/24"}))
    state = PolicyCompiler("n1", PolicyOptions(netpol_default_deny=True)).compile(nodes).state
    for address, is_open in (("10.7.0.9", False), ("10.1.1.9", True)):
        question = packet(OUTSIDE, address)
        assert verdict(state, Family.IPV4, "FORWARD", question).allowed is is_open
        assert judge(nodes, question, default_deny=True).allowed is is_open


@pytest.mark.parametrize("default_deny", [False, True])
def test_pod_cidrs_that_cannot_be_read_are_told_where_they_decide(default_deny):
    nodes = Cluster.of(node("n1", OWN_NODE, pods=["10.1.1.9/24"]))
    found = PolicyCompiler("n1", PolicyOptions(netpol_default_deny=default_deny)).compile(nodes).problems
    assert [(each.origin, each.field) for each in found] == [("Node n1", "spec.podCIDRs")] * default_deny


def test_a_pod_reaches_itself_and_errors_and_neighbours_get_through():
    network = Network(cluster(policy("red/closed", {}, policyTypes=["Ingress", "Egress"])))
    assert network.allows(packet(WEB, WEB))
    assert network.allows(packet(WEB6, WEB6))
    assert all(network.allows(packet(OUTSIDE, WEB, kind, "icmp")) for kind in (3, 11, 12))
    assert all(network.allows(packet(DB6, WEB6, kind, "ipv6-icmp")) for kind in (1, 2, 3, 4, 135, 136))
    assert not network.allows(packet(OUTSIDE, WEB, 8, "icmp"))
    assert not network.allows(packet(DB6, WEB6, 128, "ipv6-icmp"))


def test_families_are_apart():
    network = Network(cluster(ingress({"from": [block("fd00:2::/64")]})))
    assert network.allows(packet(DB6, WEB6))
    assert not network.allows(packet(DB, WEB))


def test_a_host_network_pod_is_its_node_and_no_policy_selects_it():
    everyone = policy("red/p", {}, ingress=[{"from": [PODS]}])
    host = pod("red/host", OTHER_NODE, on="n2", labels={"app": "web"}, host_network=True)
    network = Network(cluster(everyone, also=[host]))
    assert not network.allows(packet(OTHER_NODE, WEB))
    assert network.allows(packet(WEB, OTHER_NODE))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_leaves_its_address_to_the_next(phase):
    old = pod("red/a", "10.1.2.9", on="n2", phase=phase)
    new = pod("blue/b", "10.1.2.9", on="n2")
    network = Network(cluster(ingress({"from": [PODS]}), also=[old, new]))
    assert not network.allows(packet("10.1.2.9", WEB))


def test_the_address_of_a_pod_that_is_being_deleted_is_its_successors():
    """Whose name comes later, and whom another policy closes."""
    old = pod("red/a", "10.1.2.9", on="n2", leaving=True)
    new = pod("red/b", "10.1.2.9", on="n2", labels={"app": "new"})
    none = policy("red/none", labels(app="new"), policyTypes=["Egress"])
    assert not Network(cluster(none, also=[old, new])).allows(packet("10.1.2.9", WEB))
    assert Network(cluster(none, also=[old])).allows(packet("10.1.2.9", WEB))


def test_one_name_is_another_number_in_each_pod():
    out = egress({"to": [EVERYWHERE], "ports": [{"port": "http"}]})
    more = [pod(f"blue/p{port}", f"10.1.2.{port}", on="n2", ports={"http": port}) for port in (21, 22)]
    network = Network(cluster(out, also=more))
    tried = [(f"10.1.2.{pod}", port) for pod in (21, 22) for port in (21, 22)]
    assert [one for one in tried if network.allows(packet(WEB, *one))] == [("10.1.2.21", 21), ("10.1.2.22", 22)]


def test_refused_is_rejected_or_dropped_as_set():
    assert Network(cluster(ingress())).refusal(packet(DB, WEB)) == "reject"
    assert Network(cluster(ingress()), netpol_deny_action="drop").refusal(packet(DB, WEB)) == "drop"


def test_unknown_pod_addresses_of_the_node_are_closed_by_default_deny_alone():
    late = "10.1.1.200"
    assert Network(cluster()).allows(packet(DB, late))
    network = Network(cluster(), netpol_default_deny=True)
    assert not network.allows(packet(DB, late))
    assert not network.allows(packet(late, DB))
    assert network.allows(packet(OWN_NODE, late))
    assert network.allows(packet(DB, WEB))


def test_pods_outside_the_nodes_prefixes_are_closed_by_policies_all_the_same():
    far = pod("red/far", "192.0.2.5", labels={"app": "web"})
    network = Network(cluster(ingress({"from": [PODS]}), also=[far]), netpol_default_deny=True)
    assert network.allows(packet(DB, "192.0.2.5"))
    assert not network.allows(packet(OUTSIDE, "192.0.2.5"))


def test_pods_of_a_namespace_that_is_not_described_have_its_name_alone():
    stray = pod("stray/a", "10.1.2.9", on="n2")
    by_name = {"namespaceSelector": labels(**{"kubernetes.io/metadata.name": "stray"})}
    network = Network(cluster(ingress({"from": [by_name]}), also=[stray]))
    assert network.allows(packet("10.1.2.9", WEB))
    assert not network.allows(packet(DB, WEB))


def test_a_sidecars_port_has_a_name_and_that_of_a_container_that_ends_does_not():
    def init(name, number, **fields):
        return {"ports": [{"name": name, "containerPort": number}], **fields}

    sidecars = [init("proxy", 15001, restartPolicy="Always"), init("setup", 15002)]
    mesh = pod("red/mesh", "10.1.1.9", labels={"app": "mesh"}, sidecars=sidecars)
    named = policy("red/p", labels(app="mesh"), ingress=[{"ports": [{"port": "proxy"}, {"port": "setup"}]}])
    network = Network(cluster(named, also=[mesh]))
    assert [port for port in (15001, 15002) if network.allows(packet(DB, "10.1.1.9", port))] == [15001]


@pytest.mark.parametrize("port", [(70000, "TCP"), (-1, "UDP"), (0, "SCTP"), (80, "HTTP"), (80, "")])
def test_a_port_that_cannot_be_has_no_name(port):
    """No kernel could be told of it, and others' policies must not suffer."""
    wrong = pod("red/wrong", "10.1.1.9", ports={"odd": port})
    named = [{"destinationNamedPort": "odd"}]
    out = cluster_policy("out", egress=[{"action": "Deny", "to": [{"namespaces": {}}], "protocols": named}])
    state = Network(cluster(out, also=[wrong])).compiled["n1"].state
    assert [each.entries for each in state.sets.values() if each.type is SetType.IP_PORT] == [frozenset()] * 2
