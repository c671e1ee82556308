"""The extremes on a real kernel, in both modes and families: names that try to be more, selectors that match a lot."""

from __future__ import annotations

from contextlib import closing
from ipaddress import ip_address
from itertools import product

import pytest

from birdctl.addresses import Family
from birdctl.cluster.store import Cluster
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.compile import PolicyCompiler
from birdctl.policies.options import PolicyOptions
from birdctl.policies.simulate import verdict
from tests.bird.daemon import Namespace
from tests.unit.policies.build import labels, namespace, node, packet, pod, policy

LONG = "x" * 63
NAMES = [
    ("foo", "bar"),
    ("foob", "ar"),
    ("a-b", "c"),
    ("a", "b-c"),
    (LONG, LONG),
    (LONG, f"{LONG[:-1]}y"),
    (LONG, "y" * 253),
    ("red", 'quote" -j ACCEPT'),
    ("red", "line\n-A FORWARD -j ACCEPT\nCOMMIT"),
    ("red", "back\\slash"),
    ("red", "apostrophe's"),
    ("red", "comma, space"),
    ("red", "ünïcode" * 20),
    ("red", "$(reboot) `reboot` %s \t"),
]
"""Namespaces and names of policies; a folder's are as somebody wrote them."""


def target(number, family):
    return f"10.1.1.{number + 2}" if family is Family.IPV4 else f"fd00:1::{number + 2:x}"


def friend(number, family):
    return f"10.1.2.{number + 2}" if family is Family.IPV4 else f"fd00:2::{number + 2:x}"


@pytest.fixture(params=list(Mode))
def backend(request):
    with Namespace() as space, space.inside(), closing(PolicyBackend(request.param)) as found:
        yield found


def compiled(*objects):
    cluster = Cluster.of(node("n1", "172.16.0.1"), node("n2", "172.16.0.2"), *objects)
    return PolicyCompiler("n1", PolicyOptions()).compile(cluster).state


def hostile_objects():
    """Every policy, staged ones too, lets one friend in and has a name of its own alone."""
    for number, (space, name) in enumerate(NAMES):
        chosen = labels(number=str(number))
        yield namespace(space)
        yield pod(f"{space}/p{number}", *(target(number, family) for family in Family), labels={"number": str(number)})
        yield pod(f"{space}/f{number}", *(friend(number, family) for family in Family), on="n2", labels={"of": name})
        friends = [{"podSelector": labels(of=name)}]
        yield policy(f"{space}/{name}", chosen, ingress=[{"from": friends, "ports": [{"port": 80}]}])
        yield policy(f"{space}/{name}.staged", chosen, staged=True, egress=[{"to": friends}], policyTypes=["Egress"])


def test_hostile_names_are_names_and_no_more(backend):
    state = compiled(*hostile_objects())
    assert backend.apply(state).refused == {}
    found = backend.read()
    assert {family: set(table.chains) for family, table in found.tables.items()} == {
        family: set(table.chains) for family, table in state.tables.items()
    }
    numbers = range(len(NAMES))
    for family in Family:
        entering = {
            (source, to)
            for source, to in product(numbers, numbers)
            if verdict(found, family, "FORWARD", packet(friend(source, family), target(to, family))).allowed
        }
        assert entering == {(number, number) for number in numbers}


def test_hostile_names_are_recognised_and_not_written_again(backend, monkeypatch):
    state = compiled(*hostile_objects())
    backend.apply(state)
    monkeypatch.setattr(backend._iptables, "write", lambda *_: pytest.fail("written"))
    backend.apply(state, verify=True)


CROWD = 66_000
"""More than the 65,536 that ipset takes by itself."""


def member(number, family):
    return str(ip_address("10.2.0.0" if family is Family.IPV4 else "fd00:3::") + number)


@pytest.fixture(scope="module")
def crowded():
    """Everybody of a namespace may come in, and leave."""
    crowd = (pod(f"red/p{number}", *(member(number, family) for family in Family), on="n2") for number in range(CROWD))
    anyone = [{"namespaceSelector": labels(team="red")}]
    rules = {"ingress": [{"from": anyone}], "egress": [{"to": anyone, "ports": [{"port": 80}]}]}
    web = pod("blue/web", *(target(0, family) for family in Family))
    return compiled(
        namespace("red", team="red"), *crowd, web, policy("blue/p", **rules, policyTypes=["Ingress", "Egress"])
    )


def test_a_selector_may_match_more_than_65536_addresses_in_each_family(backend, crowded):
    assert backend.apply(crowded).refused == {}
    found = backend.read()
    for family in Family:
        web, last, stranger = target(0, family), member(CROWD - 1, family), member(CROWD, family)
        ways = [packet(last, web), packet(web, last), packet(stranger, web), packet(web, stranger)]
        assert [verdict(found, family, "FORWARD", way).allowed for way in ways] == [True, True, False, False]
    assert sum(len(each.entries) == CROWD for each in found.sets.values()) == 2
