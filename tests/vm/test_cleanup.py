"""A node that kube-proxy served before, and others use as well: what `birdctl cleanup` takes away, and what not."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.addresses import Family
from tests.agents import AgentNode, Manifests, converged
from tests.vm.objects import CLUSTER_IPS, endpoints, service
from tests.vm.world import Node, World

VIP = CLUSTER_IPS[Family.IPV4]

OF_OTHERS = """
for iptables in iptables-legacy ip6tables-legacy; do
    $iptables -N KUBE-FIREWALL
    $iptables -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
    $iptables -I INPUT -j KUBE-FIREWALL
    $iptables -A FORWARD -m comment --comment "somebody's; leads not to -j KUBE-FORWARD" -j ACCEPT
    $iptables -t nat -N KUBE-MARK-DROP
    $iptables -t nat -A KUBE-MARK-DROP -j MARK --or-mark 0x8000
    $iptables -t nat -N KUBE-KUBELET-CANARY
    $iptables -t mangle -N KUBE-KUBELET-CANARY
    $iptables -t mangle -N KUBE-IPTABLES-HINT
    $iptables -t nat -N OTHERS
    $iptables -t nat -A OTHERS -p tcp --dport 8080 -j RETURN
    $iptables -t nat -A PREROUTING -j OTHERS
done
ipset create KUBE-SRC-OF-OTHERS hash:net
ipset add KUBE-SRC-OF-OTHERS 192.0.2.0/24
iptables-legacy -A INPUT -m set --match-set KUBE-SRC-OF-OTHERS src -j ACCEPT
ip address add 192.0.2.77/32 dev lo
ipvsadm -A -t 192.0.2.77:80 -s rr                   # nobody's that we know
ipvsadm -a -t 192.0.2.77:80 -r 192.0.2.78:80 -i
ipvsadm -A -u 198.18.0.1:30081 -s wlc               # node port's protocol is another
ipvsadm -A -t 192.0.2.99:30080 -s rr                # not the node's address
ipvsadm -A -f 7 -s rr
"""
OF_KUBE_PROXY = """
ip link add kube-ipvs0 type dummy
ip address add 10.96.0.1/32 dev kube-ipvs0
ip address add 10.96.0.10/32 dev kube-ipvs0
ip address add fd00:96::1/128 dev kube-ipvs0 nodad
ipvsadm -A -t 10.96.0.1:443 -s rr
ipvsadm -a -t 10.96.0.1:443 -r 198.18.0.1:6443 -m
ipvsadm -A -u 10.96.0.10:53 -s rr
ipvsadm -A -t [fd00:96::1]:443 -s rr
ipvsadm -A -t 198.18.0.1:30080 -s rr -p 10800
ipvsadm -A --sctp-service 198.18.0.1:30082 -s rr
ipset create KUBE-CLUSTER-IP hash:ip,port
ipset add KUBE-CLUSTER-IP 10.96.0.1,tcp:443
ipset create KUBE-6-CLUSTER-IP hash:ip,port family inet6
ipset create KUBE-LOOP-BACK hash:ip,port,ip
ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
ipset add KUBE-NODE-PORT-TCP 30080
ipset create KUBE-NODE-PORT-SCTP-HASH hash:ip,port
ipset add KUBE-NODE-PORT-SCTP-HASH 198.18.0.1,sctp:30082
ipset create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6
for iptables in iptables-legacy ip6tables-legacy; do
    for table in filter nat mangle; do $iptables -t $table -N KUBE-PROXY-CANARY; done
    for chain in KUBE-SERVICES KUBE-POSTROUTING KUBE-MARK-MASQ KUBE-NODE-PORT; do $iptables -t nat -N $chain; done
    for hook in PREROUTING OUTPUT; do
        $iptables -t nat -I $hook -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
    done
    $iptables -t nat -I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
    $iptables -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
    $iptables -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
    $iptables -t nat -A KUBE-POSTROUTING -j MASQUERADE
    $iptables -t nat -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
    $iptables -t nat -A KUBE-NODE-PORT -p tcp -j KUBE-MARK-MASQ
    for chain in KUBE-FORWARD KUBE-NODE-PORT KUBE-PROXY-FIREWALL KUBE-IPVS-FILTER; do $iptables -N $chain; done
    $iptables -I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
    $iptables -I INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
    $iptables -I INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
    $iptables -I INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
    $iptables -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
done
iptables-legacy -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
iptables-legacy -t nat -A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
iptables-legacy -t nat -A KUBE-NODE-PORT -p tcp -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
iptables-legacy -A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
# the mode iptables, before
iptables-legacy -t nat -N KUBE-SVC-NPX46M4PTMTKRN6Y
iptables-legacy -t nat -N KUBE-SEP-ZZZZZZZZZZZZZZZZ
iptables-legacy -t nat -A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-SEP-ZZZZZZZZZZZZZZZZ
"""
SETTINGS = "sysctl net.ipv4.vs net.ipv4.conf.all net.bridge"


class Scene:
    """One node with two pods, of which a Service consists, and somebody else's rules, sets and virtual servers."""

    def __init__(self, world: World, folder: Path) -> None:
        self.node: Node = world.nodes["n1"]
        manifests = Manifests(folder / "manifests")
        pods = list(world.pods.values())
        manifests.write(self.node.document(), service("web"), *endpoints("web", pods))
        self.agent: AgentNode = self.node.agent(folder, manifests)
        self.sh(OF_OTHERS)

    def sh(self, script: str) -> str:
        """What it prints, on the node."""
        command = self.node.namespace.command("sh", "-ec", script)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_and_kill(self) -> None:
        """The agent does its work once."""
        self.agent.start_agent("--run-router=false")
        converged(self.agent)
        self.agent.kill_agent(signal.SIGTERM)

    def clean_up(self, *flags: str) -> str:
        done = self.agent.birdctl("cleanup", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def everything(self) -> dict[str, str]:
        """Of the node's network, as the programs of each part dump it; without what only counts."""
        without_counters = r"sed 's/\[[0-9]*:[0-9]*\]//; /^#/d'"
        commands = {
            "servers": "ipvsadm-save -n",
            "links": "ip -o link | cut -d' ' -f2",
            "addresses": "ip -o address | grep -v 'scope link' | sed 's/ *valid_lft.*//'",
            "routes": "(ip route show table all; ip -6 route show table all) | grep -v fe80",
            "policy rules": "ip rule; ip -6 rule",
            "rules": f"(iptables-legacy-save; ip6tables-legacy-save) | {without_counters}",
            "sets": "ipset save | sed 's/ initval [^ ]*//'",
            "kernel settings": SETTINGS,
        }
        return {name: self.sh(command) for name, command in commands.items()}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with World(nodes=1, pods=2) as world:
        scene = Scene(world, tmp_path)
        try:
            yield scene
        finally:
            scene.agent.close()


def test_everything_of_kube_proxy_s_and_ours_goes_and_all_of_others_stays(scene: Scene) -> None:
    before = scene.everything()
    scene.sh(OF_KUBE_PROXY)
    scene.start_and_kill()
    served = scene.everything()
    assert all(served[part] != before[part] for part in ("servers", "links", "rules", "sets", "kernel settings"))
    told = scene.clean_up()
    assert scene.everything() == before
    for removed in (
        "5 virtual servers",
        "device kube-ipvs0",
        "7 chains removed from table nat of IPv4",
        "6 sets removed",
    ):
        assert removed in told
    assert "net.ipv4.vs.conntrack" in told
    assert [each.name for each in scene.agent.run.iterdir()] == []


def test_a_second_cleanup_finds_nothing(scene: Scene) -> None:
    scene.sh(OF_KUBE_PROXY)
    scene.clean_up()
    before = scene.everything()
    assert "kube-proxy: nothing of it was left behind" in scene.clean_up()
    assert scene.everything() == before


def test_nothing_is_taken_from_a_kube_proxy_that_runs(scene: Scene, tmp_path: Path) -> None:
    scene.sh(OF_KUBE_PROXY)
    before = scene.everything()
    program = shutil.copy("/bin/sleep", tmp_path / "kube-proxy")
    with subprocess.Popen([program, "infinity"]) as running:
        try:
            assert "kube-proxy: kube-proxy runs on this node: what is its own stays" in scene.clean_up()
        finally:
            running.kill()
    assert scene.everything() == before


def test_nothing_is_taken_from_a_kube_proxy_whose_process_cannot_be_seen(scene: Scene) -> None:
    scene.sh(OF_KUBE_PROXY)
    before = scene.everything()
    listen = "import socket, sys; s = socket.create_server(('', 10256)); print(flush=True); sys.stdin.read()"
    command = scene.node.namespace.command("python3", "-c", listen)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout
        proxy.stdout.readline()
        told = scene.clean_up()
        proxy.communicate()
    assert "somebody listens on kube-proxy's port 10256" in told
    assert scene.everything() == before


def test_excluded_addresses_keep_their_virtual_servers(scene: Scene) -> None:
    scene.sh(OF_KUBE_PROXY)
    told = scene.clean_up("--excluded-cidrs=10.96.0.1/32")
    assert "2 addresses of kube-ipvs0 removed" in told
    left = scene.everything()
    assert "-A -t 10.96.0.1:443" in left["servers"]
    assert "10.96.0.10" not in left["servers"]
    assert "10.96.0.1/32" in left["addresses"]
    assert "10.96.0.10/32" not in left["addresses"]


def test_a_chain_that_others_use_stays_with_its_sets_and_that_is_told(scene: Scene) -> None:
    scene.sh(OF_KUBE_PROXY)
    scene.sh("iptables-legacy -t nat -A OTHERS -p tcp -j KUBE-MARK-MASQ")
    told = scene.clean_up()
    assert "KUBE-MARK-MASQ, KUBE-POSTROUTING of table nat of IPv4" in told
    assert "set KUBE-LOOP-BACK stays" in told
    rules = scene.everything()["rules"]
    assert "-A OTHERS -p tcp -j KUBE-MARK-MASQ" in rules
    assert "-j KUBE-POSTROUTING" in rules
    assert "KUBE-SERVICES" not in rules


def test_settings_that_somebody_changed_since_stay(scene: Scene) -> None:
    scene.start_and_kill()
    scene.sh("sysctl -w net.ipv4.conf.all.arp_announce=1")
    scene.start_and_kill()
    scene.sh("sysctl -w net.ipv4.conf.all.arp_ignore=8")
    scene.clean_up()
    assert scene.sh("sysctl -n net.ipv4.conf.all.arp_announce net.ipv4.conf.all.arp_ignore").split() == ["0", "8"]
