"""The way to a pod's rules: by digits of its address for classes of few pods, by sets for those of many."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdctl.addresses import Family, family
from birdctl.cluster.store import Cluster
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from birdctl.policies.simulate import verdict
from tests.unit.policies.build import labels, node, packet, pod, policy

PREFIXES = {Family.IPV4: "10.1.1.0/24", Family.IPV6: "fd00:1::/64"}
CLIENT = {Family.IPV4: "198.51.100.1", Family.IPV6: "2001:db8::1"}
NODE = node("n1", "172.16.0.1", pods=PREFIXES.values())


def own_class(number, address):
    """A pod with a policy of its own: it may be asked at one port."""
    name = f"p{number}"
    return (
        pod(f"red/{name}", str(address), labels={"app": name}),
        policy(f"red/{name}", labels(app=name), ingress=[{"ports": [{"port": 1000 + number}]}]),
    )


def state_of(*objects, **options):
    return PolicyCompiler("n1", PolicyOptions(**options)).compile(Cluster.of(NODE, *objects)).state


def walk(state, address, port):
    which = family(ip_address(address))
    return verdict(state, which, "FORWARD", packet(CLIENT[which], str(address), port))


def open_ports(state, address, ports):
    return [port for port in ports if walk(state, address, port).allowed]


def rules_passed(state, address, port):
    """How many rules a packet is compared with."""
    which = family(ip_address(address))
    chains = state.tables[which].chains
    hits = walk(state, address, port).path
    return sum(chains[hit.chain].rules.index(hit.rule) + 1 for hit in hits if hit.chain in chains)


ipv4 = st.integers(1, 254).map(lambda number: ip_address("10.1.1.0") + number)
anywhere4 = st.integers(1 << 24, (1 << 32) - 1).map(ip_address)
ipv6 = st.integers(1, (1 << 64) - 1).map(lambda number: ip_address("fd00:1::") + number)
anywhere6 = st.integers(1 << 112, (1 << 128) - 1).map(ip_address)
powers6 = st.integers(0, 127).map(lambda bit: ip_address((1 << 127 | 1 << bit).to_bytes(16, "big")))
crowds = st.one_of(
    *(st.sets(one, min_size=1, max_size=60) for one in (ipv4, anywhere4, ipv6, anywhere6, powers6, ipv4 | anywhere4))
)


@settings(max_examples=60, deadline=None)
@given(addresses=crowds, default_deny=st.booleans())
def test_each_of_many_pods_is_led_to_its_own_rules_and_their_neighbours_to_none(addresses, default_deny):
    crowd = sorted(addresses)
    objects = [item for number, address in enumerate(crowd) for item in own_class(number, address)]
    state = state_of(*objects, netpol_default_deny=default_deny)
    ports = [1000 + number for number in range(len(crowd))]
    for number, address in enumerate(crowd):
        assert open_ports(state, address, ports) == [1000 + number]
    (which,) = {family(address) for address in crowd}
    for stranger in {address ^ 1 for address in map(int, crowd)} - set(map(int, crowd)):
        address = ip_address(stranger.to_bytes(which.bits // 8, "big"))
        closed = default_deny and address in ip_network(PREFIXES[which])
        assert walk(state, address, 1000).allowed is not closed


def test_what_a_new_connection_passes_does_not_grow_with_the_pods():
    def passed(count):
        crowd = [item for number in range(count) for item in own_class(number, ip_address("10.1.1.2") + number)]
        state = state_of(*crowd)
        return max(rules_passed(state, ip_address("10.1.1.2") + number, 1000 + number) for number in range(count))

    assert passed(250) <= passed(16) + 16


@pytest.mark.parametrize("size", [1, 4, 5, 40])
@pytest.mark.parametrize("default_deny", [False, True])
def test_classes_of_few_and_of_many_pods_stand_beside_each_other(size, default_deny):
    alone = [item for number in range(30) for item in own_class(number, ip_address("10.1.1.2") + number)]
    crowd = [ip_address("10.1.1.100") + number for number in range(3 * size)]
    apps = [f"app{number % 3}" for number in range(3 * size)]
    many = [
        pod(f"blue/{number}", str(address), labels={"app": app})
        for number, (address, app) in enumerate(zip(crowd, apps, strict=True))
    ]
    rules = {app: {"ports": [{"port": 80 + number}]} for number, app in enumerate(("app0", "app1", "app2"))}
    policies = [policy(f"blue/{app}", labels(app=app), ingress=[rule]) for app, rule in rules.items()]
    free = pod("green/free", "10.1.1.60")
    state = state_of(*alone, *many, *policies, free, netpol_default_deny=default_deny)
    ports = [80, 81, 82, 1000, 1029]
    assert [open_ports(state, address, ports) for address in crowd] == [[80], [81], [82]] * size
    assert [open_ports(state, ip_address("10.1.1.2") + number, ports) for number in (0, 29)] == [[1000], [1029]]
    assert open_ports(state, "10.1.1.60", ports) == ports
    assert open_ports(state, "10.1.1.61", ports) == ([] if default_deny else ports)


def test_chains_are_nested_no_deeper_than_nft_follows():
    """It follows 16. A pod for each bit of an address makes the longest way, the passing of policies a part of it."""
    crowd = [ip_address((1 << 127 | 1 << bit).to_bytes(16, "big")) for bit in range(127)]
    state = state_of(*(item for number, address in enumerate(crowd) for item in own_class(number, address)))
    chains = state.tables[Family.IPV6].chains

    def depth(name):
        return 1 + max((depth(rule.target) for rule in chains[name].rules if rule.target in chains), default=0)

    assert depth("BIRDCTL-POLICY") <= 13
