"""The rules and sets of services on a real kernel, in both of iptables' modes: what is written, read and left alone."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from itertools import product

import pytest
from msgspec.structs import replace as changed

from birdctl.addresses import Family
from birdctl.cli import service_checks
from birdctl.errors import BackendError
from birdctl.netfilter.conntrack import Conntrack
from birdctl.netfilter.iptables_text import table_text
from birdctl.policies.apply import PolicyBackend
from birdctl.services.model import Protocol, ServiceState
from birdctl.services.netfilter import ServiceNetfilter
from birdctl.services.rules import ServiceRules
from birdctl.settings import Settings
from tests.netns.policies.kernel import compiled as policies
from tests.netns.policies.kernel import saved
from tests.unit.policies.build import labels, policy
from tests.unit.services.test_rules import STATE, WITH_DIRECT, compiled, port


def without_ipvs(rules):
    """For kernels that lack it: the hook of nat takes every packet."""
    tables = {
        where: replace(table, hooks=tuple((hook, replace(rule, extra=())) for hook, rule in table.hooks))
        if where[1] == "nat"
        else table
        for where, table in rules.tables.items()
    }
    return replace(rules, tables=tables)


NOTHING = ServiceRules(tables={}, sets={})
RULES = without_ipvs(compiled())
MORE = without_ipvs(compiled(changed(STATE, vip_ports=STATE.vip_ports | {port("10.96.0.1", 80)})))
DIRECT = without_ipvs(compiled(WITH_DIRECT))
REACHED = {
    "nothing": NOTHING,
    "some": RULES,
    "direct": DIRECT,
    "IPv4": without_ipvs(compiled(enable_ipv6=False)),
    "permissive": without_ipvs(compiled(ipvs_permit_all=False, masquerade_all=True)),
    "no service": without_ipvs(compiled(ServiceState(virtual_servers={}, sources=STATE.sources))),
}


pytestmark = pytest.mark.usefixtures("own_network")


@pytest.fixture
def backend(mode):
    with closing(ServiceNetfilter(mode)) as found:
        yield found


def told(rules):
    """Tables, and sets without what the kernel does not keep."""
    return rules.tables, {name: replace(each, meaning="") for name, each in rules.sets.items()}


def holds(backend, rules):
    return told(backend.read()) == told(rules)


def reach(backend, rules, **how):
    assert backend.apply(rules, **how) == {}
    backend.settle()


def test_every_state_is_reached_from_every_other_and_reads_back_as_it_is_desired(backend):
    for before, after in product(REACHED.values(), REACHED.values()):
        reach(backend, before)
        reach(backend, after)
        assert holds(backend, after)


def test_nothing_is_written_when_nothing_changed(backend, monkeypatch):
    reach(backend, DIRECT)
    monkeypatch.setattr(backend._iptables, "write", lambda *_: pytest.fail("written"))
    for verify in (False, True):
        reach(backend, DIRECT, verify=verify)
    assert holds(backend, DIRECT)


def test_members_and_sets_that_go_stay_until_all_is_settled(backend):
    reach(backend, MORE)
    assert backend.apply(RULES) == {}
    assert holds(backend, replace(RULES, sets=MORE.sets))
    backend.settle()
    assert holds(backend, RULES)


def test_what_comes_back_before_all_is_settled_stays(backend):
    reach(backend, MORE)
    backend.apply(RULES)
    reach(backend, MORE)
    assert holds(backend, MORE)


@pytest.mark.parametrize(
    "damage",
    [
        "{iptables} -D INPUT 1",
        "{iptables} -I INPUT 1 -j ACCEPT",
        "{iptables} -F BIRDSVC-INPUT",
        "{iptables} -t nat -R BIRDSVC-POSTROUTING 1 -j RETURN",
        "{iptables} -t nat -F",
        "{iptables} -t mangle -D PREROUTING 1",
        "{iptables} -t mangle -N BIRDSVC-RUBBISH",
        "{iptables} -t mangle -A FORWARD -j BIRDSVC-REPLIES",
        "ipset create birdsvc-rubbish hash:ip",
        "ipset flush birdsvc-vips4",
        "ipset add birdsvc-ports4 192.0.2.9,tcp:22",
    ],
)
def test_what_somebody_damaged_is_repaired(backend, mode, damage):
    reach(backend, DIRECT)
    shell(damage.format(iptables=f"iptables-{mode}"))
    reach(backend, DIRECT, verify=True)
    assert holds(backend, DIRECT)


def shell(command):
    subprocess.run(command, shell=True, check=True)


FOREIGN = """*filter
:OTHERS - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A OTHERS -j DROP
COMMIT
*nat
-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE
COMMIT
*mangle
-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0x1
COMMIT
"""


def test_what_is_removed_leaves_the_node_as_it_was(backend, mode):
    shell("ipset create others hash:ip && ipset add others 192.0.2.1")
    for program, text in (("iptables", FOREIGN), ("ip6tables", FOREIGN.replace("10.0.0.0/8", "fd00::/8"))):
        subprocess.run([f"{program}-{mode}-restore"], input=text, text=True, check=True)
    before = saved(mode)
    for rules in (RULES, DIRECT):
        reach(backend, rules)
    with closing(ServiceNetfilter(mode.other)) as other:
        reach(other, RULES)
    backend.remove()
    assert saved(mode) == before
    assert not any("BIRDSVC" in line for line in saved(mode.other))


def test_a_set_that_others_use_is_told_when_everything_is_removed(backend, mode):
    reach(backend, RULES)
    shell(f"iptables-{mode} -A OUTPUT -m set --match-set birdsvc-vips4 dst")
    with pytest.raises(BackendError, match="ipset birdsvc-vips4: rules of others use it"):
        backend.remove()


def test_doctor_says_whether_the_kernel_takes_the_rules(mode):
    ipvs = [f"iptables-{mode}", "-t", "nat", "-A", "POSTROUTING", "-m", "ipvs", "--ipvs"]
    has_it = subprocess.run(ipvs, capture_output=True, check=False).returncode == 0
    check = service_checks.tried("rules", lambda: service_checks.write_rules(mode, Settings()), "modprobe xt_ipvs")
    assert check.result == ("ok" if has_it else "error")
    assert has_it or check.found.startswith(f"table nat of IPv4, in mode {mode}: ")
    assert not any("BIRDSVC" in line for line in saved(mode))


POLICIES = policies(policy("red/one", labels(app="web"), ingress=[{"from": [{"podSelector": labels(app="client")}]}]))


def hooked(table):
    """Also where policies have their hooks."""
    return replace(table, hooks=(*table.hooks, ("FORWARD", table.hooks[0][1])))


SHARING = replace(
    RULES, tables={where: hooked(table) if where[1] == "filter" else table for where, table in RULES.tables.items()}
)
"""Services and policies in one of the kernel's chains."""


@pytest.mark.parametrize("services_first", [False, True])
def test_policies_and_services_leave_each_other_alone(backend, mode, services_first, monkeypatch):
    with closing(PolicyBackend(mode)) as others:
        steps = [lambda: others.apply(POLICIES, verify=True), lambda: reach(backend, SHARING, verify=True)]
        for step in (*(reversed(steps) if services_first else steps), *steps):
            step()
        theirs = others.read()
        assert theirs.tables == POLICIES.tables
        assert holds(backend, SHARING)
        for each in (others, backend):
            monkeypatch.setattr(each._iptables, "write", lambda *_: pytest.fail("written"))
        for step in steps:
            step()
        monkeypatch.undo()
        backend.remove()
        assert others.read() == theirs
        reach(backend, SHARING)
        others.apply(replace(POLICIES, tables={}, sets={}))
        assert holds(backend, SHARING)


IMPOSSIBLE = ("-m", "bpf", "--bytecode", "1,0 0 0 0")
"""A filter program without a result, which no kernel takes."""


def test_a_table_that_the_kernel_refuses_is_told_and_the_others_stand(backend):
    where = (Family.IPV4, "nat")
    nat = RULES.tables[where]
    lacking = replace(nat, hooks=tuple((hook, replace(rule, extra=IMPOSSIBLE)) for hook, rule in nat.hooks))
    refused = backend.apply(replace(RULES, tables={**RULES.tables, where: lacking}))
    assert set(refused) == {where}
    assert refused[where].startswith("iptables-")
    there = {each: table for each, table in RULES.tables.items() if each != where}
    assert told(backend.read()) == told(replace(RULES, tables=there))
    reach(backend, RULES)
    assert holds(backend, RULES)


def test_a_set_that_cannot_be_is_named(backend, mode):
    shell(f"ipset create birdsvc-vips4 list:set && iptables-{mode} -A OUTPUT -m set --match-set birdsvc-vips4 dst")
    with pytest.raises(BackendError, match="ipset birdsvc-vips4: a set of that name and another kind is there"):
        backend.apply(RULES)


@pytest.mark.parametrize("rules", [RULES, DIRECT], ids=["rules", "direct"])
def test_the_programs_take_the_texts(backend, mode, rules):
    backend.apply(rules)
    for (family, _), table in rules.tables.items():
        program = f"{'iptables' if family is Family.IPV4 else 'ip6tables'}-{mode}-restore"
        subprocess.run([program, "--test", "--noflush"], input=table_text(table), text=True, check=True)


VIP, OTHER_VIP = (
    {Family.IPV4: "10.96.0.10", Family.IPV6: "fd00:96::a"},
    {Family.IPV4: "10.96.0.11", Family.IPV6: "fd00:96::b"},
)
ENDS = {Family.IPV4: ("10.1.0.5", "10.1.0.6"), Family.IPV6: ("fd00:1::5", "fd00:1::6")}
CLIENT = {Family.IPV4: "198.18.0.9", Family.IPV6: "2001:db8::9"}


def flow(family, vip, end, source_port, protocol="udp"):
    """A client's flow to port 53 that IPVS sent on to an endpoint's port 5353."""
    state = " --state ESTABLISHED" if protocol == "tcp" else ""
    shell(
        f"conntrack -I -p {protocol} -s {CLIENT[family]} -d {vip} --sport {source_port} --dport 53 -r {end}"
        f" -q {CLIENT[family]} --reply-port-src 5353 --reply-port-dst {source_port} -t 100{state} >/dev/null 2>&1"
    )


def flows(family):
    """Protocol, whom they asked for, and who answers."""
    with closing(Conntrack()) as conntrack:
        return {(each.protocol, str(each.asked), str(each.destination)) for each in conntrack.flows(family, None)}


def begin(family):
    """Flows to two addresses, by UDP and TCP, from each of the endpoints."""
    for number, (vip, end) in enumerate(product((VIP, OTHER_VIP), ENDS[family])):
        flow(family, vip[family], end, 1000 + number)
        flow(family, vip[family], end, 1000 + number, "tcp")


def udp(address):
    return port(address, 53, Protocol.UDP)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("more", [0, 100], ids=["few ports", "many ports"])
def test_flows_to_an_endpoint_that_went_are_forgotten_and_no_others(backend, family, more):
    begin(family)
    before = flows(family)
    assert len(before) == 8
    first, _ = ENDS[family]
    others = {udp(f"192.0.2.{number}"): None for number in range(more)}
    assert backend.forget({udp(VIP[family]): [(ip_address(first), 5353)], **others}) == 1
    assert before - flows(family) == {("udp", VIP[family], first)}


@pytest.mark.parametrize("family", list(Family))
def test_all_flows_to_a_port_that_went_are_forgotten(backend, family):
    begin(family)
    before = flows(family)
    assert backend.forget({udp(VIP[family]): None}) == 2
    assert before - flows(family) == {("udp", VIP[family], end) for end in ENDS[family]}
    assert backend.forget({udp(VIP[family]): None}) == 0


@pytest.mark.parametrize("gone", [port("10.96.0.10", 53), port("10.96.0.10", 54, Protocol.UDP), udp("10.96.0.99")])
def test_flows_to_another_port_protocol_or_address_stay(backend, gone):
    begin(Family.IPV4)
    assert backend.forget({gone: None}) == 0
    assert len(flows(Family.IPV4)) == 8
