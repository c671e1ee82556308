"""Policies while things change: labels, pods, connections, agents that die, and what belongs to others."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.netns.policies.network import PORTS, Probe
from tests.netns.policies.world import World, place, pod_document, policy
from tests.polling import eventually

A, B, C = ({"pod": name} for name in "abc")
FROM_B = policy("from-b", "shop", A, ingress=[{"from": [{"podSelector": {"matchLabels": B}}]}])
CLOSED = policy("closed", "shop", A)
NEW = place("shop", "new", 1, 99)


def became(cluster: World, source: str, target: str, family: int = 0) -> set[str]:
    """What becomes of connections at every port."""
    return set(cluster.network.probe([(source, target, *port) for port in PORTS], family).values())


def is_open(cluster: World, source: str, target: str) -> bool:
    return became(cluster, source, target) == {"open"}


def is_closed(cluster: World, source: str, target: str) -> bool:
    return "open" not in became(cluster, source, target)


@contextmanager
def never_open(cluster: World, *pairs: tuple[str, str]) -> Iterator[None]:
    """Connections are tried all the time meanwhile, and none succeeds."""
    probes: list[Probe] = [(source, target, *port) for source, target in pairs for port in PORTS]
    found: set[Probe] = set()
    tries = 0
    done = threading.Event()

    def keep_trying() -> None:
        nonlocal tries
        while not done.is_set():
            answers = cluster.network.probe(probes, seconds=0.05)
            found.update(probe for probe, answer in answers.items() if answer == "open")
            tries += 1

    thread = threading.Thread(target=keep_trying)
    thread.start()
    try:
        eventually(lambda: tries > 2)
        yield
        before = tries
        eventually(lambda: tries > before + 2)
    finally:
        done.set()
        thread.join()
    assert found == set()


def ipsets(cluster: World, node: str) -> str:
    return cluster.network.namespaces[node].run("ipset save")


def test_a_peer_that_gets_the_label_gets_in_and_out_with_it(cluster: World) -> None:
    cluster.policies(FROM_B)
    cluster.sync()
    assert is_closed(cluster, "shop/c", "shop/a")
    cluster.label("shop/c", pod="b")
    cluster.sync()
    assert is_open(cluster, "shop/c", "shop/a")
    cluster.label("shop/c", pod="c")
    cluster.sync()
    assert is_closed(cluster, "shop/c", "shop/a")


def test_a_pod_that_gets_the_label_is_selected(cluster: World) -> None:
    cluster.policies(CLOSED)
    cluster.sync()
    assert is_open(cluster, "pay/a", "shop/b")
    cluster.label("shop/b", pod="a")
    cluster.sync()
    assert is_closed(cluster, "pay/a", "shop/b")


def test_the_labels_of_a_namespace_open_and_close(cluster: World) -> None:
    rule = {"from": [{"namespaceSelector": {"matchLabels": {"trusted": "yes"}}}]}
    cluster.policies(policy("trusted", "shop", A, ingress=[rule]))
    cluster.sync()
    assert is_closed(cluster, "pay/b", "shop/a")
    cluster.namespaces["pay"]["metadata"]["labels"]["trusted"] = "yes"
    cluster.write_namespaces()
    cluster.sync()
    assert is_open(cluster, "pay/b", "shop/a")
    del cluster.namespaces["pay"]["metadata"]["labels"]["trusted"]
    cluster.write_namespaces()
    cluster.sync()
    assert is_closed(cluster, "pay/b", "shop/a")


def test_without_its_policies_a_node_has_nothing_of_ours(cluster: World) -> None:
    cluster.policies(FROM_B, CLOSED)
    cluster.sync()
    assert "birdctl-" in ipsets(cluster, "node1")
    cluster.policies()
    cluster.sync()
    assert cluster.wrong(lambda _: True) == []
    assert "birdctl-" not in ipsets(cluster, "node1")
    assert "BIRDCTL" not in rules(cluster, "node1")


def rules(cluster: World, node: str) -> str:
    programs = ("iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save")
    return "".join(cluster.network.namespaces[node].run(program) for program in programs)


def test_the_address_of_a_finished_pod_is_nobodys(cluster: World) -> None:
    cluster.policies(FROM_B)
    cluster.sync()
    assert is_open(cluster, "shop/b", "shop/a")
    cluster.pods["shop/b"]["status"]["phase"] = "Succeeded"
    cluster.write_pods()
    cluster.sync()
    assert is_closed(cluster, "shop/b", "shop/a")


def test_a_new_policy_cuts_what_it_forbids_and_nothing_else(cluster: World) -> None:
    connections = [
        (source, protocol, family)
        for source in ("shop/b", "shop/c")
        for protocol in ("TCP", "UDP")
        for family in (0, 1)
    ]
    for number, (source, protocol, family) in enumerate(connections):
        target = cluster.network.address("shop/a", family)
        assert cluster.network.probers[source].ask("hold", f"c{number}", protocol, target, 80) == "open"

    def alive() -> list[tuple[str, str, int]]:
        return [
            connection
            for number, connection in enumerate(connections)
            if cluster.network.probers[connection[0]].ask("say", f"c{number}", 0.5)
        ]

    assert alive() == connections
    cluster.policies(FROM_B)
    cluster.sync()
    assert alive() == [connection for connection in connections if connection[0] == "shop/b"]


def test_a_forbidden_connection_is_cut_although_its_server_goes_on_talking(cluster: World) -> None:
    server = cluster.network.probers["shop/c"]
    assert server.ask("hold", "talk", "UDP", cluster.network.address("shop/a"), 80) == "open"
    assert server.ask("say", "talk", 0.5)
    cluster.policies(CLOSED)
    cluster.sync()
    assert [server.ask("say", "talk", 0.3) for _ in range(3)] == [False] * 3


@pytest.fixture
def default_deny(cluster: World) -> Iterator[World]:
    cluster.set(netpol_default_deny="true")
    eventually(lambda: "10.244.1.0/24" in rules(cluster, "node1"))
    yield cluster
    cluster.set(netpol_default_deny="false")
    eventually(lambda: "10.244.1.0/24" not in rules(cluster, "node1"))


@pytest.fixture
def newcomer(default_deny: World) -> Iterator[World]:
    """A pod that runs, and that nobody has told the agents of."""
    if NEW.name not in default_deny.network.namespaces:
        default_deny.network.add_pod(NEW)
        default_deny.pods[NEW.name] = pod_document(NEW, A)
        default_deny.write_pods()
        default_deny.sync()
        eventually(lambda: is_open(default_deny, "pay/b", NEW.name))
    del default_deny.pods[NEW.name]
    default_deny.write_pods()
    default_deny.sync()
    yield default_deny
    del default_deny.network.pods[NEW.name], default_deny.network.places[NEW.name]
    default_deny.network.probers.pop(NEW.name).close()
    default_deny.network.namespaces.pop(NEW.name).close()


def test_an_unknown_pod_is_closed_but_for_its_node(newcomer: World) -> None:
    assert is_closed(newcomer, "pay/b", NEW.name)
    assert is_closed(newcomer, NEW.name, "pay/b")
    assert is_open(newcomer, "node1", NEW.name)
    newcomer.pods[NEW.name] = pod_document(NEW, C)
    newcomer.write_pods()
    newcomer.sync()
    assert is_open(newcomer, "pay/b", NEW.name)
    assert is_open(newcomer, NEW.name, "pay/b")


def test_a_new_pod_is_never_open_to_whom_its_policy_forbids(newcomer: World) -> None:
    newcomer.policies(FROM_B)
    newcomer.sync()
    with never_open(newcomer, ("pay/b", NEW.name), ("shop/c", NEW.name)):
        newcomer.pods[NEW.name] = pod_document(NEW, A)
        newcomer.write_pods()
        newcomer.sync()
        assert is_open(newcomer, "shop/b", NEW.name)


def test_known_pods_are_as_without_default_deny(default_deny: World) -> None:
    default_deny.policies(FROM_B)
    for family in (0, 1):
        assert default_deny.wrong(lambda c: c.target != "shop/a" or c.source == "shop/b", family=family) == []


def test_while_agents_are_dead_policies_stay(cluster: World) -> None:
    cluster.policies(FROM_B)
    cluster.sync()
    with never_open(cluster, ("shop/c", "shop/a"), ("pay/b", "shop/a")):
        for agent in cluster.agents.values():
            agent.stop(signal.SIGKILL)
        assert is_open(cluster, "shop/b", "shop/a")
        for agent in cluster.agents.values():
            agent.start()
        cluster.sync()
    assert is_open(cluster, "shop/b", "shop/a")


def test_what_was_written_meanwhile_counts_when_the_agents_are_back(cluster: World) -> None:
    cluster.policies(FROM_B)
    cluster.sync()
    for agent in cluster.agents.values():
        agent.stop(signal.SIGTERM)
    cluster.policies(policy("from-c", "shop", A, ingress=[{"from": [{"podSelector": {"matchLabels": C}}]}]))
    for agent in cluster.agents.values():
        agent.start()
    assert cluster.wrong(lambda c: c.target != "shop/a" or c.source == "shop/c") == []


def test_an_agent_killed_anywhere_in_a_change_opens_and_closes_nothing_else(cluster: World) -> None:
    """From one policy to another, under which b stays allowed and c stays refused."""
    wider = {"from": [{"podSelector": {"matchLabels": B}}, {"podSelector": {"matchLabels": {"pod": "nobody"}}}]}
    policies = [FROM_B, policy("wider", "shop", A, ingress=[wider]), policy("third", "shop", A, ingress=[wider])]
    agent = cluster.agents[cluster.network.places["shop/a"].node]
    chance = random.Random(4)
    cluster.policies(policies[0])
    cluster.sync()
    with never_open(cluster, ("shop/c", "shop/a"), ("pay/b", "shop/a")):
        for number in range(12):
            cluster.policies(policies[number % 3])
            agent.stop_after(chance.uniform(0.0, 0.06))
            assert is_open(cluster, "shop/b", "shop/a")
            agent.start()
            eventually(lambda: agent.status().get("lastSync"))
    assert cluster.wrong(lambda c: c.target != "shop/a" or c.source == "shop/b") == []


def test_what_belongs_to_others_is_left_alone(cluster: World) -> None:
    namespace = cluster.network.namespaces["node1"]
    theirs = (
        "ipset create others hash:ip",
        "ipset add others 192.0.2.1",
        f"{cluster.iptables} -w 10 -N OTHERS",
        f"{cluster.iptables} -w 10 -A OTHERS -m set --match-set others src -j DROP",
        f"{cluster.iptables} -w 10 -I FORWARD 1 -s 192.0.2.7/32 -j OTHERS",
        f"{cluster.iptables} -w 10 -A OUTPUT -d 192.0.2.8/32 -j OTHERS",
    )
    ours = (
        f"{cluster.iptables} -w 10 -D FORWARD -s 192.0.2.7/32 -j OTHERS",
        f"{cluster.iptables} -w 10 -D OUTPUT -d 192.0.2.8/32 -j OTHERS",
        f"{cluster.iptables} -w 10 -F OTHERS",
        f"{cluster.iptables} -w 10 -X OTHERS",
        "ipset destroy others",
    )
    for command in theirs:
        namespace.run(command)
    before = [line for line in rules(cluster, "node1").splitlines() if "others" in line.lower()]
    for documents in ((FROM_B,), (FROM_B, CLOSED), ()):
        cluster.policies(*documents)
        cluster.sync()
        assert [line for line in rules(cluster, "node1").splitlines() if "others" in line.lower()] == before
        assert "add others 192.0.2.1" in ipsets(cluster, "node1")
    for command in ours:
        namespace.run(command)


def test_rules_that_somebody_else_removes_come_back(cluster: World) -> None:
    cluster.policies(CLOSED)
    cluster.sync()
    cluster.network.namespaces["node1"].run(f"{cluster.iptables} -w 10 -F BIRDCTL-IN")
    assert is_open(cluster, "pay/b", "shop/a")
    cluster.set(iptables_sync_period="1s")
    eventually(lambda: is_closed(cluster, "pay/b", "shop/a"))
    cluster.set(iptables_sync_period="5m")


def test_a_policy_that_the_kernel_refuses_leaves_its_pods_closed_and_others_intact(cluster: World) -> None:
    """The set that the policy needs is there, of another type, and in use."""
    cluster.policies(FROM_B)
    cluster.sync()
    (name,) = {line.split()[1] for line in ipsets(cluster, "node1").splitlines() if "create birdctl-pods4" in line}
    cluster.policies()
    cluster.sync()
    namespace = cluster.network.namespaces["node1"]
    namespace.run(f"ipset create {name} hash:net")
    namespace.run(f"{cluster.iptables} -w 10 -A INPUT -s 192.0.2.9/32 -m set --match-set {name} src -j ACCEPT")
    agent = cluster.agents["node1"]
    try:
        cluster.policies(FROM_B, policy("other", "mail", B, ingress=[{"ports": [{"port": 80}]}]))
        agent.sync()
        eventually(lambda: any("NetworkPolicy shop/from-b" in each for each in agent.status()["problems"]))
        assert agent.status()["healthy"] is False
        assert is_closed(cluster, "shop/b", "shop/a")
        assert cluster.network.probe([("pay/a", "mail/b", "TCP", 80)]).popitem()[1] == "open"
        assert cluster.network.probe([("pay/a", "mail/b", "TCP", 81)]).popitem()[1] != "open"
    finally:
        namespace.run(f"{cluster.iptables} -w 10 -D INPUT -s 192.0.2.9/32 -m set --match-set {name} src -j ACCEPT")
        namespace.run(f"ipset destroy {name}")
    eventually(lambda: agent.status()["healthy"], 30)
    assert is_open(cluster, "shop/b", "shop/a")


def test_a_policy_that_cannot_be_read_is_told(cluster: World) -> None:
    wrong = policy("wrong", "shop", A, ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]}])
    cluster.policies(wrong, policy("right", "mail", A))
    cluster.sync()
    status = cluster.agents["node1"].status()
    assert any("NetworkPolicy shop/wrong" in each for each in status["problems"])
    assert is_closed(cluster, "pay/b", "mail/a")


def test_no_agent_met_a_bug(cluster: World) -> None:
    for agent in cluster.agents.values():
        assert "Traceback" not in agent.log.read_text()
