"""The backends on a real kernel, in both of iptables' modes: what is written, read, repaired and left alone."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from itertools import product

import pytest

from birdctl.addresses import Family, host_prefix
from birdctl.errors import Unavailable
from birdctl.netfilter.ipset import IpsetBackend
from birdctl.netfilter.iptables import Mode
from birdctl.netfilter.iptables_mode import detect
from birdctl.netfilter.model import IpSet, Net, Owner, SetType
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.compile.names import cut_set
from birdctl.policies.model import PolicyState
from birdctl.policies.simulate import verdict
from tests.netns.policies.kernel import address, answers, compiled, saved
from tests.unit.policies.build import block, cluster_policy, labels, packet, pod, policy

WEB = labels(app="web")
FROM_CLIENT = {"from": [{"podSelector": labels(app="client")}, block("192.0.2.0/24", "192.0.2.0/28")]}
ONE = policy("red/one", WEB, ingress=[{**FROM_CLIENT, "ports": [{"port": "http"}]}])
OTHER = policy(
    "red/one", WEB, ingress=[{"from": [{"podSelector": labels(app="db")}]}], policyTypes=["Ingress", "Egress"]
)
DB = policy("red/db", labels(app="db"), ingress=[{"from": [{"podSelector": labels(app="client")}]}])
GUARD = cluster_policy("guard", egress=[{"action": "Deny", "to": [{"networks": ["198.51.100.0/24"]}]}])
STATES = {
    "none": (),
    "one": (ONE,),
    "other": (OTHER, DB),
    "moved": (ONE, DB, pod("red/db", address("db"), address("db", Family.IPV6), labels={"app": "web"})),
    "guarded": (ONE, GUARD),
    "staged": (policy("red/one", WEB, staged=True, ingress=[FROM_CLIENT]), DB),
}


pytestmark = pytest.mark.usefixtures("own_network")


@pytest.fixture
def backend(mode):
    found = PolicyBackend(mode)
    yield found
    found.close()


def in_kernel(backend):
    """Tables, and sets without what the kernel does not keep."""
    state = backend.read()
    return state.tables, contents(state)


def contents(state):
    return {name: (each.type, each.family, each.entries, each.timeout) for name, each in state.sets.items()}


def holds(backend, state):
    tables, sets = in_kernel(backend)
    return tables == state.tables and sets == contents(state)


@pytest.mark.parametrize("default_deny", [False, True])
def test_every_state_is_reached_from_every_other_and_reads_back_as_it_is_desired(backend, default_deny):
    states = [compiled(*objects, default_deny=default_deny) for objects in STATES.values()]
    for before, after in product(states, states):
        backend.apply(before)
        assert not backend.apply(after).refused
        assert holds(backend, after)


def test_nothing_is_written_when_nothing_changed(backend, monkeypatch):
    state = compiled(ONE, DB)
    backend.apply(state)
    before = backend.read()
    monkeypatch.setattr(backend._iptables, "write", lambda *_: pytest.fail("written"))
    backend.apply(state)
    backend.apply(state, verify=True)
    assert backend.read() == before


FOREIGN = """*filter
:OTHERS - [0:0]
-A FORWARD -s 10.0.0.0/8 -m comment --comment "not \\"ours\\"" -j OTHERS
-A OUTPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A OTHERS -m set --match-set others src -j RETURN
-A OTHERS -j DROP
COMMIT
*nat
-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE
COMMIT
"""


def others(mode):
    """What others have."""
    return [line for line in saved(mode) if "birdctl" not in line.lower()]


def test_chains_rules_and_sets_of_others_are_not_touched(backend, mode):
    subprocess.run("ipset create others hash:ip && ipset add others 192.0.2.1", shell=True, check=True)
    for program in ("iptables", "ip6tables"):
        text = FOREIGN if program == "iptables" else "*filter\n-A FORWARD -p tcp -j ACCEPT\nCOMMIT\n"
        subprocess.run([f"{program}-{mode}-restore", "--noflush"], input=text, text=True, check=True)
    before = others(mode)
    for state in (compiled(ONE, DB), compiled(OTHER), compiled()):
        backend.apply(state)
        backend.apply(state, verify=True)
        assert others(mode) == before


@pytest.mark.parametrize(
    "damage",
    [
        "{iptables} -D FORWARD 1",
        "{iptables} -I FORWARD 1 -j ACCEPT",
        "{iptables} -F BIRDCTL-POLICY",
        "{iptables} -I BIRDCTL-POLICY -j RETURN",
        "{iptables} -R BIRDCTL-IN 1 -j RETURN",
        "{iptables} -F",
        "{iptables} -N BIRDCTL-IN-0000000000000000",
        "{iptables} -A INPUT -j BIRDCTL-POLICY",
        "ipset create birdctl-rubbish hash:ip",
        "ipset flush $(ipset list -n | grep birdctl-pods4 | head -1)",
        "ipset add $(ipset list -n | grep birdctl-pods4 | head -1) 192.0.2.9",
    ],
)
def test_what_somebody_damaged_is_repaired(backend, mode, damage):
    state = compiled(ONE, DB)
    backend.apply(state)
    subprocess.run(damage.format(iptables=f"iptables-{mode}"), shell=True, check=True)
    backend.apply(state, verify=True)
    assert holds(backend, state)
    first = subprocess.run([f"iptables-{mode}", "-S", "FORWARD"], capture_output=True, text=True, check=True).stdout
    assert "BIRDCTL-POLICY" in first.splitlines()[1]


def test_rules_left_in_the_other_mode_go(mode):
    state = compiled(ONE)
    old, new = PolicyBackend(mode.other), PolicyBackend(mode)
    old.apply(state)
    new.apply(state)
    assert holds(new, state)
    assert not any(table.chains or table.hooks for table in old.read().tables.values())
    old.close()
    new.close()


VERSION = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=True).stdout
DEFAULT = Mode.NFT if "nf_tables" in VERSION else Mode.LEGACY


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", DEFAULT),
        ("iptables-{mode} -A INPUT -j ACCEPT", None),
        ("ip6tables-{mode} -A INPUT -j ACCEPT", None),
        ("iptables-{mode} -t mangle -N KUBE-KUBELET-CANARY; iptables-{other} -A INPUT -j ACCEPT", None),
    ],
)
def test_the_mode_is_that_of_kubelet_then_of_more_rules_then_of_plain_iptables(mode, host, expected):
    subprocess.run(host.format(mode=mode, other=mode.other), shell=True, check=True)
    assert detect() == (expected or mode)


def shell(command):
    subprocess.run(command, shell=True, check=True)


OTHER_KINDS = ("hash:net", "hash:ip family inet6", "hash:ip timeout 9", "hash:ip maxelem 9", "list:set", "hash:net,net")


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_sets_of_our_names_and_another_kind_make_room_for_ours(backend, kind):
    state = compiled(ONE, DB, GUARD)
    for name, each in state.sets.items():
        if each.family is Family.IPV4:
            shell(f"ipset create {name} {kind} 2>/dev/null || ipset create {name} bitmap:port range 0-9")
    assert backend.apply(state).refused == {}
    assert holds(backend, state)


def as_another_version(state, **cut):
    """With sets of peers and of what is cut of other kinds under the same names."""
    sets = {}
    for name, each in state.sets.items():
        if name.startswith("birdctl-pods"):
            nets = frozenset(Net(prefix=host_prefix(entry)) for entry in each.entries)
            sets[name] = replace(each, type=SetType.NET, entries=nets)
        elif each.timeout:
            sets[name] = replace(each, **cut)
    return replace(state, sets={**state.sets, **sets})


@pytest.mark.parametrize("cut", [{"timeout": 7}, {"max_entries": 9}, {"type": SetType.IP_PORT}])
def test_what_another_version_left_in_use_gives_way_to_ours(mode, cut):
    state = compiled(ONE, DB)
    with closing(PolicyBackend(mode)) as former, closing(PolicyBackend(mode)) as backend:
        former.apply(as_another_version(state, **cut))
        assert backend.apply(state).refused == {}
        assert holds(backend, state)


IN_USE = "a set of that name and another kind is there, and rules of others use it"


def take(name, mode):
    """Somebody else's rule uses a set of this name, of a kind that birdctl does not use."""
    shell(f"ipset create {name} hash:net,port && iptables-{mode} -A INPUT -m set --match-set {name} src,src")


def test_a_policy_whose_set_cannot_be_leaves_its_pods_closed_and_others_intact(backend, mode):
    state = compiled(ONE, DB)
    name = next(name for name, each in state.sets.items() if each.type is SetType.NET)
    take(name, mode)
    assert backend.apply(state).refused == {"NetworkPolicy red/one": f"ipset {name}: {IN_USE}"}
    found, wanted = answers(backend.read()), answers(state)
    assert found == wanted
    shell(f"iptables-{mode} -F INPUT")
    assert not backend.apply(state, verify=True).refused
    assert holds(backend, state)


def test_pods_of_a_class_whose_set_cannot_be_are_closed_and_others_intact(backend, mode):
    many = [pod(f"red/many{number}", f"10.1.7.{number}", labels={"app": "many"}) for number in range(1, 7)]
    everybody = {"namespaceSelector": {}, "podSelector": labels(app="many")}
    deny = [{"action": "Deny", "from": [{"pods": {"namespaceSelector": {}, "podSelector": WEB}}]}]
    guard = cluster_policy("guard", subject={"pods": everybody}, ingress=deny)
    state = compiled(ONE, guard, *many)
    name = next(name for name, each in state.sets.items() if each.meaning == "pods with the same policies")
    take(name, mode)
    assert backend.apply(state).refused[guard.ref] == f"ipset {name}: {IN_USE}"
    to_many = packet(str(address("client")), "10.1.7.1", 80)
    assert verdict(state, Family.IPV4, "FORWARD", to_many).allowed
    assert not verdict(backend.read(), Family.IPV4, "FORWARD", to_many).allowed
    assert answers(backend.read()) == answers(state)


def test_a_cut_set_that_cannot_be_closes_nothing_and_connections_are_cut_without_it(backend, mode):
    state = compiled(ONE, DB)
    take(cut_set(Family.IPV4), mode)
    assert backend.apply(state).refused == {"": f"ipset {cut_set(Family.IPV4)}: {IN_USE}"}
    assert answers(backend.read()) == answers(state)
    assert backend.cut(None) == 0
    shell(f"iptables-{mode} -F INPUT")
    assert not backend.apply(state, verify=True).refused
    assert holds(backend, state)


IMPOSSIBLE = ("-m", "bpf", "--bytecode", "1,0 0 0 0")
"""A filter program without a result, which no kernel takes."""


def spoilt(state, whose):
    """The state with rules of one policy that the kernel refuses."""
    tables = {}
    for family, table in state.tables.items():
        chains = {
            name: replace(
                chain,
                rules=tuple(replace(each, extra=IMPOSSIBLE) if whose in each.origins else each for each in chain.rules),
            )
            for name, chain in table.chains.items()
        }
        tables[family] = replace(table, chains=chains)
    return replace(state, tables=tables)


@pytest.mark.parametrize(
    ("objects", "whose", "target"),
    [((ONE, DB), "NetworkPolicy red/one", "web"), ((DB, GUARD), "ClusterNetworkPolicy guard", None)],
)
def test_a_policy_whose_rules_cannot_be_leaves_its_pods_closed_and_others_intact(backend, objects, whose, target):
    state = compiled(*objects)
    refused = backend.apply(spoilt(state, whose)).refused
    assert set(refused) == {whose}
    found, wanted = answers(backend.read()), answers(state)
    for question, allowed in found.items():
        family, source, to, _ = question
        concerned = to == target or (target is None and family is Family.IPV4 and source != "client")
        assert allowed == (wanted[question] and (not concerned or source == to)), question
    assert not backend.apply(state).refused
    assert holds(backend, state)


def test_what_all_policies_need_and_the_kernel_lacks_changes_nothing(backend):
    state = compiled(ONE)
    backend.apply(state)
    entry = state.tables[Family.IPV4].chains["BIRDCTL-POLICY"]
    broken = replace(entry, rules=(*entry.rules[:-1], replace(entry.rules[-1], extra=IMPOSSIBLE)))
    table = state.tables[Family.IPV4]
    table = replace(table, chains={**table.chains, entry.name: broken})
    with pytest.raises(Unavailable, match="what every policy needs"):
        backend.apply(replace(state, tables={**state.tables, Family.IPV4: table}))
    assert holds(backend, state)


def test_counters_are_by_policy_and_never_go_down(backend):
    backend.apply(compiled(ONE, DB))
    before = {(each.policy, each.direction): each.packets for each in backend.counters()}
    assert ("NetworkPolicy red/one", "Ingress") in before
    backend.apply(compiled(OTHER, DB))
    after = {(each.policy, each.direction): each.packets for each in backend.counters()}
    assert all(after[key] >= packets for key, packets in before.items())


def test_a_set_takes_more_addresses_than_ipset_does_by_itself():
    sets = IpsetBackend(Owner.POLICIES)
    many = frozenset(ip_address(0x0A000000 + number) for number in range(70_000))
    wanted = IpSet(name="birdctl-many", type=SetType.IP, family=Family.IPV4, entries=many)
    assert sets.create([wanted]) == {}
    assert sets.read() == {wanted.name: wanted}
    sets.close()


def test_an_empty_state_leaves_nothing(backend):
    backend.apply(compiled(ONE, DB, GUARD))
    backend.apply(PolicyState(tables={}, sets={}))
    tables, sets = in_kernel(backend)
    assert sets == {}
    assert not any(table.chains or table.hooks for table in tables.values())
