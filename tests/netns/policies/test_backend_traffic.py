"""The backends under traffic: no packet is let in or refused that neither policy says; forbidden connections end."""

from __future__ import annotations

import subprocess
from contextlib import closing
from ipaddress import ip_address
from itertools import cycle, islice

import pytest

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from tests.netns.policies.kernel import PLACES, Kernel, address, compiled
from tests.netns.policies.network import UNLIMITED, sysctl
from tests.polling import eventually
from tests.unit.policies.build import labels, pod, policy

RECEIVE = """
import select, socket, sys
counts = {}
for port in map(int, sys.argv[1:]):
    each = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    each.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    each.bind(("::", port))
    each.setblocking(False)
    counts[each] = 0
print("ready", flush=True)
ready = []
while sys.stdin not in ready:
    ready, _, _ = select.select([sys.stdin, *counts], [], [])
    for each in counts:
        try:
            while each.recv(10):
                counts[each] += 1
        except BlockingIOError:
            pass
print(*counts.values(), flush=True)
"""
"""Counts the datagrams to each port, once told that no more will come."""

SEND = """
import select, socket, sys
address, count = sys.argv[1], 0
ports = [int(port) for port in sys.argv[2:]]
sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
while not count or not select.select([sys.stdin], [], [], 0)[0]:
    for port in ports:
        try:
            sender.sendto(b"x", (address, port))
        except ConnectionRefusedError:
            sender.sendto(b"x", (address, port))
    count += 1
print(count, flush=True)
"""
"""Sends to each port as fast as it goes, never answered: every packet is the first of a connection."""

TALK = """
import socket, sys, time
kind, address, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
talker = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
talker.settimeout(0.05)
talker.connect((address, int(port)))
talker.send(b"hello")
while True:
    try:
        heard = talker.recv(65536)
    except TimeoutError:
        heard = b""
    print(int(bool(heard)), flush=True)
"""
"""Says one word, then prints for ever whether anything was heard in the last moment."""

BABBLE = """
import socket, sys, threading, time
def stream():
    server = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        client, _ = server.accept()
        threading.Thread(target=babble, args=(client.send, b"x"), daemon=True).start()
def datagrams():
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", 80))
    while True:
        _, peer = server.recvfrom(100)
        threading.Thread(target=babble, args=(server.sendto, b"x", peer), daemon=True).start()
def babble(send, *words):
    while True:
        try:
            send(*words)
        except OSError:
            pass
        time.sleep(0.005)
threading.Thread(target=stream, daemon=True).start()
threading.Thread(target=datagrams, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""
"""Talks to everybody who ever said a word, without end."""

ASK = """
import socket, sys, time
kind, address, begun = sys.argv[1], sys.argv[2], time.monotonic()
family = socket.AF_INET6 if ":" in address else socket.AF_INET
client = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
client.settimeout(5)
try:
    client.connect((address, 80))
    client.send(b"?")
    client.recv(1)
    print("answered")
except OSError as error:
    print(type(error).__name__, time.monotonic() - begun)
"""
"""Prints how and after how many seconds one question fails."""

WEB = labels(app="web")
CHANGES_IN_A_ROW = 100


def allow(*pairs, relabelled=()):
    """Port by label of the peer, to the pod web."""
    rules = [{"from": [{"podSelector": labels(app=app)}], "ports": [port(number)]} for app, number in pairs]
    return compiled(policy("red/web", WEB, ingress=rules, policyTypes=["Ingress"]), *relabelled, action="drop")


def port(number):
    return {"protocol": "UDP", "port": number}


@pytest.fixture(scope="module")
def kernel():
    with closing(Kernel()) as found:
        yield found


@pytest.fixture(params=list(Mode))
def backend(kernel, request):
    with kernel.node.inside():
        found = PolicyBackend(request.param)
        found.apply(compiled())
        found.cut((), gone={ip_address(address(name, family)) for name in PLACES for family in Family})
        yield found
        found.apply(compiled())
        found.close()
    kernel.end_programs()


def ready(process):
    assert process.stdout.readline() == "ready\n"
    return process


def told(process):
    """What it prints when it is told to end."""
    found = process.communicate("\n", timeout=30)[0].split()
    return [int(number) for number in found]


def db_as(app):
    return pod("red/db", address("db"), address("db", Family.IPV6), labels={"app": app}, ports={"http": 80})


CHANGES = {
    "ports and peers change places": (
        allow(("client", 1000), ("db", 2000), ("client", 3000)),
        allow(("db", 1000), ("client", 2000), ("client", 3000)),
        "client",
        (3000,),
        (4000,),
    ),
    "one rule of two": (allow(("db", 1000), ("db", 3000)), allow(("db", 3000)), "db", (3000,), (2000,)),
    "a peer is relabelled": (
        allow(("db", 3000), ("other", 3000), ("db", 1000), ("gone", 4000)),
        allow(("db", 3000), ("other", 3000), ("db", 1000), ("gone", 4000), relabelled=[db_as("other")]),
        "db",
        (3000,),
        (4000,),
    ),
}


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_lets_nothing_in_and_refuses_nothing_that_both_sides_of_it_agree_on(kernel, backend, change, family):
    one, other, sender, always, never = change
    backend.apply(one)
    receiver = ready(kernel.run("web", RECEIVE, *map(str, (*always, *never))))
    sending = ready(kernel.run(sender, SEND, address("web", family), *map(str, (*always, *never))))
    for state in islice(cycle([other, one]), CHANGES_IN_A_ROW):
        backend.apply(state)
    (sent,) = told(sending)
    arrived, leaked = told(receiver)
    assert sent > CHANGES_IN_A_ROW
    assert leaked == 0
    assert arrived == sent


def test_a_pod_that_is_relabelled_in_both_respects_is_never_seen_half_way(kernel, backend):
    """Before, its own policy refuses it; afterwards, its peer's does."""
    own = policy("red/own", labels(app="db"), policyTypes=["Egress"])
    peers = policy("red/web", WEB, ingress=[{"from": [{"podSelector": labels(app="db")}]}])
    guards = (own, peers)
    one, other = compiled(*guards, action="drop"), compiled(*guards, db_as("free"), action="drop")
    backend.apply(one)
    receiver = ready(kernel.run("web", RECEIVE, "1000"))
    sending = ready(kernel.run("db", SEND, address("web"), "1000"))
    for state in islice(cycle([other, one]), CHANGES_IN_A_ROW):
        backend.apply(state)
    (sent,) = told(sending)
    assert sent > CHANGES_IN_A_ROW
    assert told(receiver) == [0]


@pytest.mark.parametrize("family", list(Family))
def test_what_a_chain_counted_outlives_it(kernel, backend, family):
    """Nobody asks before the rules are gone that counted every datagram."""

    def counted():
        return sum(each.packets for each in backend.counters() if each.effect == "allow" and "red/web" in each.policy)

    before, total = counted(), 0
    for state in (allow(("client", 1000)), allow(("client", 1000), ("db", 2000)), allow(("client", 1000))):
        backend.apply(state)
        (sent,) = told(ready(kernel.run("client", SEND, address("web", family), "1000")))
        total += sent
    backend.apply(compiled())
    assert total > 0
    assert counted() - before == total


@pytest.fixture
def babbling(kernel):
    ready(kernel.run("web", BABBLE))


def hears(process):
    return process.stdout.readline() == "1\n"


def silent(process, moments=5):
    """Whether nothing more is heard for some moments on end."""
    return not any(hears(process) for _ in range(moments))


OPEN = compiled(policy("red/web", WEB, ingress=[{}]))
ONLY_DB = compiled(policy("red/web", WEB, ingress=[{"from": [{"podSelector": labels(app="db")}]}]))
NO_EGRESS = compiled(policy("red/db", labels(app="db"), policyTypes=["Egress"]), policy("red/web", WEB, ingress=[{}]))


@pytest.mark.usefixtures("babbling")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("family", list(Family))
def test_a_forbidden_connection_ends_though_the_pod_keeps_talking_and_an_allowed_one_lives(
    kernel, backend, kind, family
):
    backend.apply(OPEN)
    target = address("web", family)
    forbidden, allowed = (kernel.run(name, TALK, kind, target, "80") for name in ("client", "db"))
    assert eventually(lambda: hears(forbidden))
    assert eventually(lambda: hears(allowed))
    touched = backend.apply(ONLY_DB).touched
    assert backend.cut(touched) == 1
    eventually(lambda: silent(forbidden))
    assert hears(allowed)
    backend.apply(OPEN)
    again = kernel.run("client", TALK, kind, target, "80")
    assert eventually(lambda: hears(again))


@pytest.mark.usefixtures("babbling")
def test_a_connection_that_the_initiators_own_policy_forbids_ends(kernel, backend):
    backend.apply(OPEN)
    talking = kernel.run("db", TALK, "udp", address("web"), "80")
    assert eventually(lambda: hears(talking))
    assert backend.cut(backend.apply(NO_EGRESS).touched) == 1
    eventually(lambda: silent(talking))


@pytest.mark.usefixtures("babbling")
def test_a_connection_through_a_translated_address_is_judged_by_where_it_really_goes(kernel, backend):
    rule = f"PREROUTING -d 192.0.2.1 -p tcp --dport 8080 -j DNAT --to {address('web')}:80"
    program = f"iptables-{backend.mode}"
    subprocess.run(f"{program} -t nat -A {rule}", shell=True, check=True)
    backend.apply(OPEN)
    talking = kernel.run("client", TALK, "tcp", "192.0.2.1", "8080")
    assert eventually(lambda: hears(talking))
    assert backend.cut(backend.apply(ONLY_DB).touched) == 1
    eventually(lambda: silent(talking))
    subprocess.run(f"{program} -t nat -D {rule}", shell=True, check=True)


@pytest.mark.usefixtures("babbling")
def test_the_connections_of_a_pod_that_is_gone_go_with_it(kernel, backend):
    backend.apply(OPEN)
    talking = kernel.run("db", TALK, "udp", address("web"), "80")
    assert eventually(lambda: hears(talking))
    db = next(iter(backend._conntrack.flows(Family.IPV4, None))).source
    assert backend.cut((), gone={db}) == 1


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_who_is_rejected_knows_at_once(kernel, backend, direction, kind, family):
    """TCP tries again after a second."""
    sysctl(kernel.node, UNLIMITED)
    source, target = ("client", "web") if direction == "Ingress" else ("web", "client")
    with kernel.node.inside():
        backend.apply(compiled(policy("red/web", WEB, policyTypes=[direction])))
    said, seconds = kernel.run(source, ASK, kind, address(target, family)).communicate(timeout=20)[0].split()
    assert said == "ConnectionRefusedError"
    assert float(seconds) < 0.9


@pytest.mark.usefixtures("babbling")
def test_what_a_writer_that_was_killed_did_not_cut_its_successor_cuts(kernel, backend):
    backend.apply(OPEN)
    talking = kernel.run("client", TALK, "tcp", address("web"), "80")
    assert eventually(lambda: hears(talking))
    backend.apply(ONLY_DB)
    assert hears(talking)
    with closing(PolicyBackend(backend.mode)) as successor:
        assert successor.cut(successor.apply(ONLY_DB).touched) == 1
    eventually(lambda: silent(talking))
