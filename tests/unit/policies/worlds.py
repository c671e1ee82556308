"""Any small cluster with policies of every kind, and any packet in it, for properties (hypothesis)."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from tests.unit.policies.build import block, cluster_policy, expression, labels, namespace, node, packet, pod, policy

few = st.sampled_from
SPACES = ("red", "blue", "bare")
NAMES = ("a", "b", "c")
V4 = {"n1": ("10.1.1.2", "10.1.1.3", "192.0.2.7"), "n2": ("10.1.2.2", "192.0.2.7")}
V6 = {"n1": ("fd00:1::2", "fd00:1::3"), "n2": ("fd00:2::2",)}
NODES = {"n1": ("172.16.0.1", "fd00::1"), "n2": ("172.16.0.2", "fd00::2")}
PLACES = [(on, *filter(None, addresses)) for on in NODES for addresses in product((*V4[on] * 2, None), (*V6[on], None))]
"""Nodes, and addresses that a pod there can have."""
OUTSIDE = ("198.51.100.1", "198.51.100.130", "10.1.1.99", "fd00:1::99", "2001:db8::1", "fe80::1")
PORTS = (80, 81, 8080, 53)
PROTOCOLS = ("TCP", "UDP", "SCTP")
PORT_NAMES = ("web", "dns", "none")


def one_or_more(strategy, most=2):
    return st.lists(strategy, min_size=1, max_size=most)


def none_or_more(strategy, most=2):
    return st.lists(strategy, max_size=most)


nodes = st.just(
    [
        node("n1", *NODES["n1"], pods=["10.1.1.0/24", "fd00:1::/64"], labels={"zone": "a"}),
        node("n2", *NODES["n2"], pods=["10.1.2.0/24", "fd00:2::/64"], labels={"zone": "b"}),
    ]
)
some_labels = st.dictionaries(few(["app", "tier"]), few(["x", "y"]), max_size=2)
namespaces = st.builds(lambda name, labels: namespace(name, **labels), few(SPACES[:2]), some_labels)
container_ports = st.dictionaries(few(["web", "web2", "dns"]), st.tuples(few(PORTS), few(PROTOCOLS)), max_size=3)
pods = st.builds(
    lambda space, name, place, **fields: pod(f"{space}/{name}", *place[1:], on=place[0], **fields),
    few(SPACES),
    few(NAMES),
    few(PLACES),
    labels=some_labels,
    ports=container_ports,
    phase=few([*["Running"] * 9, "Pending", "Succeeded", "Failed"]),
    host_network=few([*[False] * 9, True]),
    leaving=few([False, False, False, True]),
)

selectors = st.one_of(
    st.just({}),
    st.builds(labels, app=few(["x", "y"])),
    st.builds(expression, few(["app", "tier"]), few(["In", "NotIn"]), few(["x", "y"])),
    st.builds(expression, few(["app", "tier"]), few(["Exists", "DoesNotExist"])),
    st.builds(lambda one, other: {**labels(app=one), **expression("tier", "NotIn", other)}, few(["x"]), few(["y"])),
)
blocks = few(
    [
        block("0.0.0.0/0"),
        block("::/0"),
        block("::/0", "8000::/1", "fd00:1::/64"),
        block("0.0.0.0/0", "128.0.0.0/1", "10.1.1.0/24"),
        block("10.1.0.0/16", "10.1.1.0/24"),
        block("10.1.1.0/24", "10.1.1.2/32", "10.1.1.2/31"),
        block("10.1.1.9/24"),
        block("198.51.100.0/24", "198.51.100.128/25"),
        block("172.16.0.0/24"),
        block("fd00:1::/64", "fd00:1::2/128"),
        block("10.1.1.2/32"),
        block("10.1.1.0/24", "10.2.0.0/24"),
        block("nonsense"),
    ]
)
selected = st.fixed_dictionaries({}, optional={"podSelector": selectors, "namespaceSelector": selectors})
peers = st.one_of(selected.filter(bool), selected.filter(bool), blocks)
ports = st.one_of(
    st.fixed_dictionaries({"port": few([*PORTS, *PORT_NAMES])}, optional={"protocol": few(PROTOCOLS)}),
    st.fixed_dictionaries({"protocol": few(PROTOCOLS)}),
    st.just({"port": 80, "endPort": 81}),
    st.just({"port": 60, "endPort": 8080, "protocol": "UDP"}),
    st.just({"port": "web", "endPort": 81}),
)


def rules(peer_field):
    return one_or_more(
        st.fixed_dictionaries({}, optional={peer_field: none_or_more(peers), "ports": none_or_more(ports)})
    )


specs = st.fixed_dictionaries(
    {},
    optional={
        "ingress": rules("from"),
        "egress": rules("to"),
        "policyTypes": few([["Ingress"], ["Egress"], ["Ingress", "Egress"], []]),
    },
)
network_policies = st.builds(
    lambda space, name, selector, staged, spec: policy(f"{space}/{name}", selector, staged=staged, **spec),
    few(SPACES),
    few(["p", "q", "r"]),
    selectors,
    few([False, False, False, True]),
    specs,
)

cluster_pods = st.fixed_dictionaries({"namespaceSelector": selectors, "podSelector": selectors})
subjects = st.one_of(
    st.fixed_dictionaries({"namespaces": selectors}), st.fixed_dictionaries({"pods": cluster_pods}), st.just({})
)
cluster_peers = st.one_of(
    st.fixed_dictionaries({"namespaces": selectors}),
    st.fixed_dictionaries({"pods": cluster_pods}),
    st.just({"domainNames": ["example.org"]}),
)
network_lists = one_or_more(few(["0.0.0.0/0", "::/0", "10.1.1.0/24", "198.51.100.1/32", "fd00:1::/64", "bad"]))
egress_peers = st.one_of(
    cluster_peers,
    st.fixed_dictionaries({"networks": network_lists}),
    st.fixed_dictionaries({"nodes": few([{}, labels(zone="b")])}),
)
destination_ports = few([{"number": 80}, {"range": {"start": 60, "end": 90}}, {"number": 53}, {"number": 0}, {}]).map(
    lambda port: {"destinationPort": port}
)
protocols = st.one_of(
    st.builds(lambda name, port: {name: port}, few(["tcp", "udp", "sctp"]), destination_ports),
    few([{"tcp": {}}, {"udp": {}}, {}]),
    st.builds(lambda name: {"destinationNamedPort": name}, few(PORT_NAMES)),
)


def cluster_rules(peer_field, peer):
    return none_or_more(
        st.fixed_dictionaries(
            {"action": few([*["Accept", "Deny", "Pass"] * 4, "Allow"]), peer_field: one_or_more(peer)},
            optional={"protocols": none_or_more(protocols)},
        ),
        3,
    )


cluster_policies = st.builds(
    cluster_policy,
    few(["one", "two", "three"]),
    few([1, 2]),
    tier=few(["Admin", "Baseline"]),
    subject=subjects,
    staged=few([False, False, False, True]),
    ingress=cluster_rules("from", cluster_peers),
    egress=cluster_rules("to", egress_peers),
)

objects = st.one_of(namespaces, pods, pods, network_policies, network_policies, cluster_policies)
"""One object of any kind."""

worlds = st.builds(
    lambda *parts: list({(item.kind, item.key): item for part in parts for item in part}.values()),
    nodes,
    none_or_more(namespaces),
    st.lists(pods, min_size=4, max_size=9),
    st.lists(network_policies, min_size=1, max_size=5),
    none_or_more(cluster_policies, 3),
)
"""The objects of a cluster of two nodes."""

_PODS = [address for pool in (V4, V6) for addresses in pool.values() for address in addresses]
_EVERYWHERE = [*_PODS * 5, *(address for addresses in NODES.values() for address in addresses), *OUTSIDE]
_V4_PLACES = [text for text in _EVERYWHERE if ":" not in text]
_V6_PLACES = [text for text in _EVERYWHERE if ":" in text]
packets = st.one_of(
    *(
        st.builds(packet, few(places), few(places), few([80, 80, *PORTS, 7]), few(["tcp", "tcp", "udp", "sctp"]))
        for places in (_V4_PLACES, _V6_PLACES)
    ),
    st.builds(packet, few(_V4_PLACES), few(_V4_PLACES), few([0, 3, 8, 11]), st.just("icmp")),
    st.builds(packet, few(_V6_PLACES), few(_V6_PLACES), few([1, 2, 128, 135]), st.just("ipv6-icmp")),
)
