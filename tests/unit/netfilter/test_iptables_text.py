"""Rules as iptables prints them, transactions, and the text of hostile names."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import Family
from birdctl.errors import BackendError
from birdctl.netfilter import iptables_text as text
from birdctl.netfilter.iptables_change import recognised, rehook, removal, since
from birdctl.netfilter.model import BUILTIN, Chain, Effect, Owner, Rule, SetMatch, Table

OWNER = Owner.POLICIES
NEW = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
prefixes = st.one_of(st.none(), st.sampled_from(["10.0.0.1/32", "10.0.0.0/8", "2001:db8::1/128"]).map(ip_network))
ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda pair: (min(pair), max(pair)))
matches = st.builds(
    SetMatch,
    name=names.map(lambda name: f"birdctl-{name}"),
    directions=st.sampled_from(["src", "dst", "src,src,dst"]),
    negated=st.booleans(),
)
rules = st.builds(
    lambda rule, ports: replace(rule, ports=ports) if rule.protocol in ("tcp", "udp", "sctp") else rule,
    st.builds(
        Rule,
        target=st.sampled_from(["RETURN", "DROP", "BIRDCTL-IN-0123456789abcdef"]),
        goto=st.booleans(),
        protocol=st.sampled_from([None, "tcp", "udp", "sctp", "icmp"]),
        source=prefixes,
        destination=prefixes,
        sets=st.lists(matches, max_size=2).map(tuple),
        extra=st.sampled_from(
            [(), NEW, ("-m", "bpf", "--bytecode", "1,6 0 0 0"), ("-m", "icmp6", "--icmpv6-type", "1")]
        ),
        options=st.sampled_from([(), ("--nflog-prefix", 'a "b" \\c', "--nflog-group", "100")]),
        origins=st.lists(st.builds("NetworkPolicy {}/{}".format, names, names), max_size=3).map(tuple),
        effect=st.sampled_from([None, *Effect]),
    ),
    st.none() | ports,
)


@given(rules)
def test_a_rendered_rule_reads_back_as_the_same_rule(rule):
    assert text.parse(text.rule(rule, OWNER)) == rule


@given(rules, rules)
def test_rules_that_differ_differ_in_their_digests(one, other):
    assert (text.digest(one) == text.digest(other)) == (one == other)


def test_a_comment_of_long_names_is_cut_and_its_digest_is_not():
    long = tuple(f"NetworkPolicy {'n' * 63}/{letter * 63}" for letter in "abc")
    rule = Rule(target="RETURN", origins=long, effect=Effect.ALLOW)
    comment = text.comment(rule, OWNER)
    assert len(comment) == 255
    assert comment.endswith("...")
    assert comment.startswith(f"birdctl:{text.digest(rule)} allow NetworkPolicy nnn")
    assert text.digest(rule) != text.digest(replace(rule, origins=(*long[:2], "NetworkPolicy x/y")))


def test_names_that_join_to_the_same_text_have_other_digests():
    one = Rule(target="RETURN", origins=("NetworkPolicy a-b/c", "NetworkPolicy d/e"))
    other = replace(one, origins=("NetworkPolicy a/b-c", "NetworkPolicy d/e"))
    assert text.digest(one) != text.digest(other)


@pytest.mark.parametrize("name", ['a" -j ACCEPT', "a\nCOMMIT", "a\\", "it's", "ünï", "a, b"])
def test_a_name_is_one_word_on_one_line_whatever_is_in_it(name):
    rule = Rule(target="RETURN", origins=(f"NetworkPolicy x/{name}",), effect=Effect.ALLOW)
    words = text.split(text.rule(rule, OWNER))
    assert words[:3] == ("-m", "comment", "--comment")
    assert words[4:] == ("-j", "RETURN")
    assert text.rule(rule, OWNER).isprintable()


@pytest.mark.parametrize("line", ["", "-m set", "-s nonsense -j DROP", "-p tcp", "-m comment --comment"])
def test_a_line_that_is_no_rule_of_ours_is_named_in_the_error(line):
    with pytest.raises(BackendError, match="not a rule of birdctl's"):
        text.parse(line)


JUMP = Rule(target="BIRDCTL-POLICY", extra=NEW)
CHAIN = Chain(name="BIRDCTL-POLICY", rules=(Rule(target="DROP"),))
TABLE = Table(owner=OWNER, family=Family.IPV4, hooks=(("FORWARD", JUMP),), chains={CHAIN.name: CHAIN})


def saved(*lines):
    """An `iptables-save` with a table that is not filter before ours."""
    head = ["*nat", ":FORWARD - [0:0]", "-A FORWARD -j BIRDCTL-POLICY", "COMMIT", "*filter"]
    chains = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":BIRDCTL-POLICY - [0:0]"]
    return text.saved("\n".join([*head, *chains, ":OTHERS - [0:0]", *lines, "COMMIT"]), OWNER, Family.IPV4)


HOOK = f"-A FORWARD {text.rule(JUMP, OWNER)}"
OURS = f"[3:180] -A BIRDCTL-POLICY {text.rule(CHAIN.rules[0], OWNER)}"
FOREIGN = "-A FORWARD -s 10.0.0.0/8 -j ACCEPT"


def test_a_saved_table_is_read_with_its_counters():
    found = saved(HOOK, OURS, FOREIGN, "-A OTHERS -j DROP")
    assert text.table(found) == TABLE
    assert (found.chains["BIRDCTL-POLICY"][0].packets, found.chains["BIRDCTL-POLICY"][0].bytes) == (3, 180)
    assert set(found.chains) == {"BIRDCTL-POLICY"}


def change(*lines):
    found = saved(*lines)
    return since(recognised(found, TABLE), TABLE, rehook(found, TABLE))


def test_what_is_there_as_desired_is_not_written_again():
    assert not change(HOOK, OURS, FOREIGN)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((FOREIGN, HOOK, OURS), (f"-D FORWARD {text.rule(JUMP, OWNER)}", f"-I FORWARD 1 {text.rule(JUMP, OWNER)}")),
        ((FOREIGN, OURS), (f"-I FORWARD 1 {text.rule(JUMP, OWNER)}",)),
        (
            (HOOK, HOOK, OURS),
            (f"-D FORWARD {text.rule(JUMP, OWNER)}",) * 2 + (f"-I FORWARD 1 {text.rule(JUMP, OWNER)}",),
        ),
        ((HOOK, OURS, "-A INPUT -j BIRDCTL-POLICY"), ("-D INPUT -j BIRDCTL-POLICY",)),
    ],
    ids=["behind a foreign rule", "gone", "twice", "somewhere else"],
)
def test_hooks_come_first_and_stand_nowhere_else(lines, expected):
    assert change(*lines).hooks == expected


@pytest.mark.parametrize(
    "line",
    [
        OURS.replace("-j DROP", "-j ACCEPT"),
        f"{OURS}\n{OURS}",
        f"{OURS}\n-A BIRDCTL-POLICY -j ACCEPT",
        "",
    ],
    ids=["another target", "a rule too many", "a foreign rule", "empty"],
)
def test_a_chain_that_somebody_changed_is_filled_anew(line):
    assert change(HOOK, line).text.splitlines() == [
        "*filter",
        ":BIRDCTL-POLICY - [0:0]",
        f"-A BIRDCTL-POLICY {text.rule(CHAIN.rules[0], OWNER)}",
        "COMMIT",
    ]


def test_taking_all_away_leaves_what_others_wrote():
    assert removal(saved(HOOK, OURS, FOREIGN)).text.splitlines() == [
        "*filter",
        f"-D FORWARD {text.rule(JUMP, OWNER)}",
        "-F BIRDCTL-POLICY",
        "-X BIRDCTL-POLICY",
        "COMMIT",
    ]


SERVICES = Owner.SERVICES
SERVICE_JUMP = Rule(target="BIRDSVC-INPUT")
SERVICE_CHAIN = Chain(name="BIRDSVC-INPUT", rules=(Rule(target="RETURN"),))
SERVICE_TABLE = Table(
    owner=SERVICES, family=Family.IPV4, hooks=(("FORWARD", SERVICE_JUMP),), chains={SERVICE_CHAIN.name: SERVICE_CHAIN}
)
SERVICE_HOOK = f"-A FORWARD {text.rule(SERVICE_JUMP, SERVICES)}"
SERVICE_LINE = f"-A BIRDSVC-INPUT {text.rule(SERVICE_CHAIN.rules[0], SERVICES)}"


def filter_table(*lines):
    chains = (":FORWARD ACCEPT [0:0]", ":BIRDCTL-POLICY - [0:0]", ":BIRDSVC-INPUT - [0:0]")
    return "\n".join(["*filter", *chains, *lines, OURS, SERVICE_LINE, "COMMIT"])


def changed_by(table, *lines):
    found = text.saved(filter_table(*lines), table.owner, Family.IPV4)
    return since(recognised(found, table), table, rehook(found, table))


@pytest.mark.parametrize("table", [TABLE, SERVICE_TABLE], ids=["policies", "services"])
def test_owners_read_only_what_is_theirs(table):
    found = text.saved(filter_table(HOOK, SERVICE_HOOK), table.owner, Family.IPV4)
    assert text.table(found) == table


@pytest.mark.parametrize(
    ("lines", "policies", "services"),
    [
        ((HOOK, SERVICE_HOOK, FOREIGN), 0, 0),
        ((SERVICE_HOOK, HOOK), 2, 0),
        ((HOOK, FOREIGN, SERVICE_HOOK), 0, 2),
        ((FOREIGN, HOOK, SERVICE_HOOK), 2, 2),
        ((SERVICE_HOOK,), 1, 0),
    ],
    ids=["in order", "services first", "a foreign rule between", "a foreign rule first", "services alone"],
)
def test_policies_come_before_services_and_each_moves_only_its_own_hooks(lines, policies, services):
    assert len(changed_by(TABLE, *lines).hooks) == policies
    assert len(changed_by(SERVICE_TABLE, *lines).hooks) == services


def test_hooks_of_services_are_inserted_behind_those_of_policies():
    assert changed_by(SERVICE_TABLE, HOOK, FOREIGN, SERVICE_HOOK).hooks == (
        SERVICE_HOOK.replace("-A", "-D", 1),
        SERVICE_HOOK.replace("-A FORWARD", "-I FORWARD 2", 1),
    )


def test_taking_policies_away_leaves_services():
    found = text.saved(filter_table(HOOK, SERVICE_HOOK), OWNER, Family.IPV4)
    assert not any("BIRDSVC" in line for line in removal(found).text.splitlines())


@pytest.mark.parametrize("name", list(BUILTIN))
def test_each_table_is_read_from_its_own_part(name):
    line = f"-A BIRDSVC-X {text.rule(Rule(target='RETURN', origins=(name,)), SERVICES)}"
    others = "\n".join(f"*{each}\n:BIRDSVC-X - [0:0]\nCOMMIT" for each in BUILTIN if each != name)
    found = text.saved(f"{others}\n*{name}\n:BIRDSVC-X - [0:0]\n{line}\nCOMMIT", SERVICES, Family.IPV4, name)
    assert [rule.origins for rule in text.table(found).chains["BIRDSVC-X"].rules] == [(name,)]
    assert tuple(found.builtin) == BUILTIN[name]
