"""The rules and sets around virtual servers."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from birdctl.addresses import Family
from birdctl.netfilter import model as netfilter
from birdctl.netfilter.ipset_text import sets_text
from birdctl.netfilter.iptables_text import table_text
from birdctl.netfilter.model import Net
from birdctl.services.model import DirectReturn, Mark, Owner, Port, Protocol, Scheduler, ServiceState, VirtualServer
from birdctl.services.options import ServiceOptions
from birdctl.services.rules import RuleCompiler


def port(address, number, protocol=Protocol.TCP):
    return Port(address=ip_address(address), protocol=protocol, port=number)


def direct(address, number, mark, service, protocol=Protocol.TCP):
    """The port, and its virtual server."""
    key = port(address, number, protocol)
    owner = Owner(service=service, port_name="", kind="ExternalIP", address=key.address, protocol=protocol, port=number)
    server = VirtualServer(
        key=Mark(mark=mark, family=Family.IPV4 if key.address.version == 4 else Family.IPV6),
        scheduler=Scheduler.MH,
        owner=owner,
    )
    return DirectReturn(port=key, mark=mark, local_pods=frozenset()), server


DIRECT = (
    direct("203.0.113.7", 80, 0x0D000001, "shop/web"),
    direct("203.0.113.7", 53, 0x0D000002, "shop/dns", Protocol.UDP),
    direct("2001:db8::7", 80, 0x0D000001, "shop/web"),
)
STATE = ServiceState(
    virtual_servers={},
    addresses=frozenset(map(ip_address, ("10.96.0.1", "203.0.113.1", "192.0.2.1", "fd00:96::1"))),
    vip_ports=frozenset(
        {port("10.96.0.1", 443), port("203.0.113.1", 53, Protocol.UDP), port("fd00:96::1", 443, Protocol.SCTP)}
    ),
    inside_only=frozenset({port("203.0.113.1", 53, Protocol.UDP)}),
    hairpin=frozenset({port("10.1.0.5", 8080)}),
    pods=frozenset(map(ip_network, ("10.1.0.0/24", "10.1.1.0/24", "fd00:1::/64"))),
    local_pods=frozenset(map(ip_network, ("10.1.0.0/24", "fd00:1::/64"))),
    sources={Family.IPV4: ip_address("192.0.2.1"), Family.IPV6: ip_address("fd00:2::1")},
    node_addresses=frozenset(map(ip_address, ("192.0.2.1", "fd00:2::1"))),
)
WITH_DIRECT = replace(
    STATE,
    direct_returns=tuple(each for each, _ in DIRECT),
    virtual_servers={server.key: server for _, server in DIRECT},
)


def compiled(state=STATE, mtu=1500, **options):
    return RuleCompiler(ServiceOptions(**options)).compile(state, mtu=mtu)


def lines(rules, family, name):
    """Without chains' declarations, digests and what every comment begins with."""
    text = re.sub(r"birdsvc:[0-9a-f]{12}", "birdsvc", table_text(rules.tables[family, name]))
    text = text.replace(' -m comment --comment "birdsvc"', "")
    return [line for line in text.splitlines() if line.startswith("-")]


def test_an_address_answers_on_its_ports_and_sensible_icmp_alone():
    assert lines(compiled(), Family.IPV4, "filter") == [
        "-A BIRDSVC-INPUT -m set --match-set birdsvc-inside4 dst,dst -m set ! --match-set birdsvc-pods4 src -j DROP",
        (
            "-A BIRDSVC-INPUT -m set --match-set birdsvc-limited4 dst,dst"
            " -m set ! --match-set birdsvc-sources4 dst,dst,src -j DROP"
        ),
        (
            "-A BIRDSVC-INPUT -p tcp -m set --match-set birdsvc-unserved4 dst,dst"
            " -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset"
        ),
        "-A BIRDSVC-INPUT -m set ! --match-set birdsvc-vips4 dst -j RETURN",
        "-A BIRDSVC-INPUT -p icmp -m icmp --icmp-type 3 -j ACCEPT",
        "-A BIRDSVC-INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT",
        "-A BIRDSVC-INPUT -p icmp -m icmp --icmp-type 11 -j ACCEPT",
        "-A BIRDSVC-INPUT -p icmp -m icmp --icmp-type 12 -j ACCEPT",
        "-A BIRDSVC-INPUT -m set --match-set birdsvc-ports4 dst,dst -j ACCEPT",
        "-A BIRDSVC-INPUT -p tcp -j REJECT --reject-with tcp-reset",
        "-A BIRDSVC-INPUT -j REJECT",
        "-I INPUT 1 -m conntrack ! --ctstate RELATED,ESTABLISHED -j BIRDSVC-INPUT",
    ]


def test_in_ipv6_packets_that_are_too_big_and_neighbours_are_answered_too():
    types = re.findall(r"--icmpv6-type (\d+) -j ACCEPT", "\n".join(lines(compiled(), Family.IPV6, "filter")))
    assert types == ["1", "2", "3", "4", "128", "135", "136"]


def test_without_permit_all_only_what_services_forbid_is_left():
    assert lines(compiled(ipvs_permit_all=False), Family.IPV4, "filter") == [
        "-A BIRDSVC-INPUT -m set --match-set birdsvc-inside4 dst,dst -m set ! --match-set birdsvc-pods4 src -j DROP",
        (
            "-A BIRDSVC-INPUT -m set --match-set birdsvc-limited4 dst,dst"
            " -m set ! --match-set birdsvc-sources4 dst,dst,src -j DROP"
        ),
        (
            "-A BIRDSVC-INPUT -p tcp -m set --match-set birdsvc-unserved4 dst,dst"
            " -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset"
        ),
        "-I INPUT 1 -m conntrack ! --ctstate RELATED,ESTABLISHED -j BIRDSVC-INPUT",
    ]


def test_only_who_would_not_be_answered_this_way_is_masqueraded():
    assert lines(compiled(), Family.IPV4, "nat") == [
        "-A BIRDSVC-POSTROUTING -m set --match-set birdsvc-hairpin4 dst,dst,src -j MASQUERADE --random-fully",
        (
            "-A BIRDSVC-POSTROUTING -m set ! --match-set birdsvc-own4 src -m set ! --match-set birdsvc-here4 dst"
            " -j MASQUERADE --random-fully"
        ),
        "-I POSTROUTING 1 -m ipvs --vdir ORIGINAL --vmethod MASQ -j BIRDSVC-POSTROUTING",
    ]


def test_masquerade_all_has_no_exception():
    assert lines(compiled(masquerade_all=True), Family.IPV6, "nat")[0] == (
        "-A BIRDSVC-POSTROUTING -j MASQUERADE --random-fully"
    )


def test_each_port_with_direct_return_has_its_mark_and_names_its_service():
    assert lines(compiled(WITH_DIRECT), Family.IPV4, "mangle") == [
        (
            "-A BIRDSVC-DIRECT -d 203.0.113.7/32 -p tcp -m tcp --dport 80"
            ' -m comment --comment "birdsvc Service shop/web" -j MARK --set-xmark 0xd000001/0xffffffff'
        ),
        (
            "-A BIRDSVC-DIRECT -d 203.0.113.7/32 -p udp -m udp --dport 53"
            ' -m comment --comment "birdsvc Service shop/dns" -j MARK --set-xmark 0xd000002/0xffffffff'
        ),
        "-A BIRDSVC-REPLIES -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440",
        "-I OUTPUT 1 -m set --match-set birdsvc-direct4 dst,dst -j BIRDSVC-DIRECT",
        "-I PREROUTING 1 -p tcp -m set --match-set birdsvc-direct4 src,src -j BIRDSVC-REPLIES",
        "-I PREROUTING 1 -m set --match-set birdsvc-direct4 dst,dst -j BIRDSVC-DIRECT",
    ]


@pytest.mark.parametrize(
    ("family", "mtu", "largest"),
    [(Family.IPV4, 1500, 1440), (Family.IPV6, 1500, 1400), (Family.IPV4, 9000, 8940), (Family.IPV6, 9000, 8900)],
)
def test_clients_are_told_of_segments_that_fit_the_tunnel(family, mtu, largest):
    found = lines(compiled(WITH_DIRECT, mtu=mtu), family, "mangle")
    assert any(line.endswith(f"-j TCPMSS --set-mss {largest}") for line in found)


@pytest.mark.parametrize("chain", ["FORWARD", "OUTPUT"])
def test_what_an_address_with_direct_return_does_not_serve_is_refused_where_it_would_leave_again(chain):
    found = lines(compiled(WITH_DIRECT), Family.IPV4, "filter")
    sets = "-m set --match-set birdsvc-returned4 dst -m set ! --match-set birdsvc-direct4 dst,dst"
    new = "-m conntrack ! --ctstate RELATED,ESTABLISHED"
    assert f"-I {chain} 1 {sets} {new} -j BIRDSVC-ASTRAY" in found
    assert "-A BIRDSVC-ASTRAY -j REJECT" in found
    assert "ASTRAY" not in str(lines(compiled(), Family.IPV4, "filter"))


def test_without_direct_return_the_table_mangle_is_left_alone():
    assert {name for _, name in compiled().tables} == {"filter", "nat"}


def test_the_sets_hold_what_the_rules_speak_of():
    assert [line for line in sets_text(compiled(WITH_DIRECT).sets).splitlines() if line.startswith("add")] == [
        "add birdsvc-direct4 203.0.113.7,tcp:80",
        "add birdsvc-direct4 203.0.113.7,udp:53",
        "add birdsvc-direct6 2001:db8::7,tcp:80",
        "add birdsvc-hairpin4 10.1.0.5,tcp:8080,10.1.0.5",
        "add birdsvc-here4 10.1.0.0/24",
        "add birdsvc-here4 192.0.2.1/32",
        "add birdsvc-here6 fd00:1::/64",
        "add birdsvc-here6 fd00:2::1/128",
        "add birdsvc-inside4 203.0.113.1,udp:53",
        "add birdsvc-own4 10.1.0.0/24",
        "add birdsvc-own6 fd00:1::/64",
        "add birdsvc-pods4 10.1.0.0/24",
        "add birdsvc-pods4 10.1.1.0/24",
        "add birdsvc-pods6 fd00:1::/64",
        "add birdsvc-ports4 10.96.0.1,tcp:443",
        "add birdsvc-ports4 203.0.113.1,udp:53",
        "add birdsvc-ports6 fd00:96::1,sctp:443",
        "add birdsvc-returned4 203.0.113.7",
        "add birdsvc-returned6 2001:db8::7",
        "add birdsvc-vips4 10.96.0.1",
        "add birdsvc-vips4 203.0.113.1",
        "add birdsvc-vips6 fd00:96::1",
    ]


def test_an_address_of_the_node_itself_is_never_closed():
    vips = compiled().sets["birdsvc-vips4"].entries
    assert ip_address("192.0.2.1") not in vips


def test_a_family_that_is_off_or_that_the_node_lacks_has_neither_rules_nor_sets():
    lacking = replace(STATE, sources={Family.IPV4: ip_address("192.0.2.1")})
    for rules in (compiled(enable_ipv6=False), compiled(lacking)):
        assert {family for family, _ in rules.tables} == {Family.IPV4}
        assert {each.family for each in rules.sets.values()} == {Family.IPV4}


def test_a_thousand_services_have_as_many_rules_as_none():
    many = frozenset(port(f"10.96.{number // 250}.{number % 250 + 1}", 80) for number in range(1000))
    addresses = frozenset(each.address for each in many)
    full = replace(STATE, vip_ports=many, unserved=many, addresses=addresses, inside_only=many)
    empty = replace(STATE, vip_ports=frozenset(), addresses=frozenset(), inside_only=frozenset(), hairpin=frozenset())
    assert compiled(full).tables == compiled(empty).tables


def test_what_did_not_change_stays_the_same_object():
    compiler = RuleCompiler(ServiceOptions())
    before = compiler.compile(STATE).sets
    after = compiler.compile(replace(STATE, vip_ports=STATE.vip_ports | {port("10.96.0.1", 80)})).sets
    assert {name for name in before if before[name] is not after[name]} == {"birdsvc-ports4"}


addresses = st.sampled_from(["10.96.0.1", "10.96.0.2", "192.0.2.1", "fd00:96::1", "fd00:2::1"]).map(ip_address)
ports = st.builds(Port, address=addresses, protocol=st.sampled_from(Protocol), port=st.integers(1, 3))
networks = st.sampled_from(["10.1.0.0/24", "10.1.1.0/24", "fd00:1::/64"]).map(ip_network)
states = st.builds(
    ServiceState,
    virtual_servers=st.just({}),
    addresses=st.frozensets(addresses),
    vip_ports=st.frozensets(ports),
    unserved=st.frozensets(ports),
    inside_only=st.frozensets(ports),
    hairpin=st.frozensets(ports),
    direct_returns=st.lists(
        st.builds(DirectReturn, port=ports, mark=st.integers(1, 3), local_pods=st.just(frozenset())), max_size=2
    ).map(tuple),
    pods=st.frozensets(networks),
    local_pods=st.frozensets(networks),
    sources=st.just(STATE.sources),
    node_addresses=st.frozensets(addresses),
)


@given(st.lists(states, min_size=1, max_size=5))
def test_after_any_history_the_rules_are_those_of_the_last_state(history):
    compiler = RuleCompiler(ServiceOptions())
    assert [compiler.compile(state) for state in history] == [compiled(state) for state in history]


def test_networks_and_ports_are_of_the_kinds_that_ipset_knows():
    sets = compiled().sets
    assert Net(prefix=ip_network("10.1.1.0/24")) in sets["birdsvc-pods4"].entries
    assert netfilter.Port(address=ip_address("10.96.0.1"), protocol="tcp", port=443) in sets["birdsvc-ports4"].entries
