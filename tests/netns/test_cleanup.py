"""`birdctl cleanup` on a node that routes and has policies: neighbours, kernel and files are as before birdctl came."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from birdctl.netfilter.iptables import Mode
from birdctl.routing.bird import BirdSocket
from tests.agents import BOOTSTRAP, AgentNode, Manifests, converged, node
from tests.bird.daemon import Bird, Namespace
from tests.birds import BirdProgram
from tests.netns.policies.world import place, pod_document, policy
from tests.polling import eventually

POD = place("shop", "a", 1, 10)
OF_OTHERS = """
ip route add 198.51.100.0/24 via 192.0.2.9
ip route add 203.0.113.0/24 via 192.0.2.9 proto static
ipset create others hash:ip
ipset add others 192.0.2.9
for program in iptables-{mode} ip6tables-{mode}; do
    $program -w 10 -t mangle -N KUBE-IPTABLES-HINT
    $program -w 10 -N OTHERS
    $program -w 10 -A OTHERS -p tcp -m comment --comment "of others" -j ACCEPT
    $program -w 10 -A FORWARD -j OTHERS
done
iptables-{mode} -w 10 -A INPUT -m set --match-set others src -j ACCEPT
"""
OF_KUBE_PROXY = """
ipset create KUBE-CLUSTER-IP hash:ip,port
ipset create KUBE-LOOP-BACK hash:ip,port,ip
for program in iptables-{mode} ip6tables-{mode}; do
    for chain in KUBE-SERVICES KUBE-MARK-MASQ KUBE-SVC-NPX46M4PTMTKRN6Y; do $program -w 10 -t nat -N $chain; done
    $program -w 10 -t nat -I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
    $program -w 10 -t nat -A KUBE-SERVICES -p tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y
    $program -w 10 -t nat -A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-MARK-MASQ
    $program -w 10 -N KUBE-FORWARD
    $program -w 10 -I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
done
iptables-{mode} -w 10 -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
iptables-{mode} -w 10 -t nat -A KUBE-SERVICES -m set --match-set KUBE-LOOP-BACK dst,dst,src -j KUBE-MARK-MASQ
"""
MANY = 20_000
MANY_ROUTES = f"""
router id 192.0.2.2;
protocol device device1 {{ }}
protocol static many {{
  ipv4;
  {" ".join(f"route 100.{number >> 8}.{number & 255}.0/24 via 192.0.2.77;" for number in range(MANY))}
}}
protocol bgp node1 {{
  local 192.0.2.2 as 64512;
  neighbor 192.0.2.1 as 64512;
  ipv4 {{ import all; export all; next hop self; }};
}}
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[AgentNode]]:
    """node1, with a pod that a policy closes, and node2, on one cable; BIRDs run, agents do not."""
    manifests = Manifests(tmp_path / "manifests")
    manifests.write(node("node1", "192.0.2.1", "10.244.1.0/24"), node("node2", "192.0.2.2", "10.244.2.0/24"))
    manifests.write(pod_document(POD, {"pod": "a"}), policy("closed", "shop"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        spaces = [stack.enter_context(Namespace()) for _ in range(2)]
        spaces[0].link(spaces[1], "192.0.2.1/24", "192.0.2.2/24")
        found = []
        for number, space in enumerate(spaces, start=1):
            found.append(AgentNode(f"node{number}", space, folder, [f"--manifests={manifests.folder}"]))
            stack.callback(found[-1].close)
            found[-1].start_bird()
        yield found


def sh(on: AgentNode, script: str) -> str:
    """What it prints, on the node."""
    command = on.namespace.command("sh", "-ec", script)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(on: AgentNode) -> dict[str, list[str]]:
    """Of the node's network; rules without what counts, in both of iptables' modes."""
    saves = " ".join(f"{program}-{mode}-save;" for program in ("iptables", "ip6tables") for mode in Mode)
    counted = r"sed 's/\[[0-9]*:[0-9]*\]//; /^#/d'"
    commands = {
        "routes": "(ip route show table all; ip -6 route show table all) | grep -v fe80",
        "rules": f"({saves}) | {counted} | grep -v '^[*:][a-zA-Z]* *[A-Z]* *$' | grep -v COMMIT || true",
        "sets": "ipset save | sed 's/ initval [^ ]*//'",
        "links": "ip -o link | cut -d' ' -f2",
    }
    return {name: sh(on, command).splitlines() for name, command in commands.items()}


def test_sessions_end_and_no_route_chain_or_set_is_left(nodes: list[AgentNode], mode: Mode) -> None:
    one, two = nodes
    sh(one, OF_OTHERS.format(mode=mode))
    before = everything(one)
    one.start_agent("--run-firewall")
    two.start_agent()
    converged(one, two)
    eventually(lambda: one.routes() == {"10.244.2.0/24"} and two.routes() == {"10.244.1.0/24"})
    working = everything(one)
    assert all(working[part] != before[part] for part in ("routes", "rules", "sets"))
    one.kill_agent(signal.SIGTERM)

    done = one.birdctl("cleanup")

    assert done.returncode == 0, done.stderr
    assert everything(one) == before
    assert one.bird.config.read_text() == BOOTSTRAP
    assert list(one.run.iterdir()) == []
    assert not list(one.bird.config.parent.glob("*.candidate"))
    eventually(lambda: two.routes() == set())
    assert two.peers() != {"node1": "Established"}


def test_each_bird_takes_back_its_routes_however_many(nodes: list[AgentNode], bird_version: BirdProgram) -> None:
    one, two = nodes
    one.bird.kill()
    one.bird = Bird(bird_version, one.namespace, one.folder)
    one.start_bird()
    with BirdSocket(two.bird.socket, restrict=False) as bird:
        two.bird.config.write_text(MANY_ROUTES)
        bird.request(f'configure "{two.bird.config}"')
    one.start_agent()
    converged(one)
    eventually(lambda: len(one.routes()) == MANY, 30, pause=0.5)
    one.kill_agent(signal.SIGTERM)
    done = one.birdctl("cleanup")
    assert (done.returncode, one.routes()) == (0, set()), done.stderr


def test_a_node_that_was_cleaned_up_can_begin_again(nodes: list[AgentNode]) -> None:
    one, two = nodes
    two.start_agent()
    for _ in range(2):
        one.start_agent("--run-firewall")
        converged(one, two)
        eventually(lambda: one.routes() == {"10.244.2.0/24"} and two.routes() == {"10.244.1.0/24"})
        one.kill_agent()
        done = one.birdctl("cleanup")
        assert (done.returncode, one.routes()) == (0, set()), done.stderr


def test_policies_go_where_bird_is_not_there_and_that_is_told(nodes: list[AgentNode]) -> None:
    one, _ = nodes
    one.bird.kill()
    before = everything(one)
    one.start_agent("--run-firewall", "--run-router=false")
    converged(one)
    assert "birdctl-" in str(everything(one)["sets"])
    one.kill_agent()
    done = one.birdctl("cleanup")
    assert done.returncode == 0, done.stderr
    assert "BIRD is not there" in done.stdout
    assert everything(one) == before


def test_a_configuration_that_is_not_birdctl_s_goes_on(nodes: list[AgentNode]) -> None:
    one, _ = nodes
    text = BOOTSTRAP + 'protocol static { ipv4; route 198.51.100.0/24 via "lo"; }\n'
    one.bird.config.write_text(text)
    with BirdSocket(one.bird.socket, restrict=False) as bird:
        bird.request("configure")
    done = one.birdctl("cleanup")
    assert (done.returncode, one.bird.config.read_text()) == (0, text), done.stderr
    assert "BIRD runs nothing of birdctl's" in done.stdout


def test_kube_proxy_s_chains_and_sets_go_in_each_mode(nodes: list[AgentNode], mode: Mode) -> None:
    one, _ = nodes
    sh(one, OF_OTHERS.format(mode=mode))
    before = everything(one)
    sh(one, OF_KUBE_PROXY.format(mode=mode))
    done = one.birdctl("cleanup")
    assert done.returncode == 0, done.stderr
    assert f"3 chains removed from table nat of IPv4, mode {mode}" in done.stdout
    assert "2 sets removed" in done.stdout
    assert everything(one) == before
