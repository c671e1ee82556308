"""The agent as its node's service proxy: what it leaves when it dies, what it repairs, what it announces and when."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from birdctl.addresses import Family
from tests.agents import AgentNode, Manifests, converged
from tests.polling import eventually
from tests.vm.objects import CLUSTER_IPS, endpoints, service
from tests.vm.world import PORT, Node, World

VIP = CLUSTER_IPS[Family.IPV4]
IPVS_ENTRY = f"TCP  {int(ip_address(VIP)):08X}:0050"
DIRECT_VIP, DIRECT_ENTRY = "203.0.113.7", "FWM  "
ANNOUNCING = (
    "--advertise-cluster-ip",
    "--advertise-external-ip",
    "--service-external-ip-range=203.0.113.0/24",
    "--announce-hold-down=8s",
    "--ready-sessions=0",
)
PEER = {
    "apiVersion": "birdctl.io/v1alpha1",
    "kind": "BGPPeer",
    "metadata": {"name": "tor"},
    "spec": {"address": "198.18.0.254", "asn": 65001},
}


class Scene:
    """One node with two pods, of which a Service consists, and its agent, not started."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.node: Node = world.nodes["n1"]
        self.pods = list(world.pods.values())
        self.manifests = Manifests(folder / "manifests")
        self.agent: AgentNode = self.node.agent(folder, self.manifests)
        self.manifests.write(self.node.document(), service("web"), *endpoints("web", self.pods))

    def start(self, *flags: str) -> None:
        self.agent.start_agent("--run-router=false", *flags)
        converged(self.agent)

    def sh(self, script: str) -> str:
        """What it prints, on the node."""
        command = self.node.namespace.command("sh", "-c", script)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def says(self) -> str:
        """Who answers a client on the node by the service."""
        return self.node.ask(VIP, 80).name

    def restart(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.agent.kill_agent(number)
        self.start()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with World(nodes=1, pods=2) as world:
        scene = Scene(world, tmp_path)
        try:
            yield scene
        finally:
            scene.agent.close()


def everything(scene: Scene) -> dict[str, str]:
    """What of a node's network services could change, without what counts."""
    commands = {
        "servers": "ipvsadm-save -n",
        "links": "ip -o link | cut -d' ' -f2",
        "routes": "(ip route show table all; ip -6 route show table all) | grep -v 'proto kernel'",
        "rules": "ip rule; ip -6 rule",
        "filters": "iptables-legacy-save | grep ^-A; ip6tables-legacy-save | grep ^-A",
        "sets": "ipset save",
    }
    return {name: scene.sh(command) for name, command in commands.items()}


# What stays.


def test_a_node_is_as_before_after_the_cleanup(scene: Scene) -> None:
    before = everything(scene)
    scene.start()
    assert everything(scene) != before
    scene.agent.kill_agent(signal.SIGTERM)
    done = scene.agent.birdctl("cleanup")
    assert done.returncode == 0, done.stderr
    assert everything(scene) == before


def test_cleaning_up_under_a_running_agent_is_refused(scene: Scene) -> None:
    scene.start()
    done = scene.agent.birdctl("cleanup")
    assert (done.returncode, "stop it first" in done.stderr) == (1, True)


def test_connections_live_on_without_the_agent_and_with_the_next_one(scene: Scene) -> None:
    scene.start()
    with scene.node.connect(VIP, 80, timeout=5) as connection:
        first = connection.ask().name
        scene.agent.kill_agent()
        assert connection.ask().name == first
        scene.start()
        assert connection.ask().name == first


def test_services_work_however_often_and_wherever_the_agent_dies(scene: Scene) -> None:
    """It is killed in the middle of passes; every request meanwhile is answered."""
    scene.start()
    dice = random.Random(5)
    for number in range(8):
        chosen = dice.sample(scene.pods, dice.randint(1, 2))
        scene.manifests.write(service(f"extra-{number}", clusterIPs=[f"10.96.1.{number + 1}"], ipFamilies=["IPv4"]))
        scene.manifests.write(*endpoints(f"extra-{number}", chosen), *endpoints("web", chosen))
        deadline = time.monotonic() + dice.uniform(0.0, 0.08)
        while time.monotonic() < deadline:
            scene.says()
        scene.agent.kill_agent()
        scene.says()
        scene.agent.start_agent("--run-router=false")
        scene.says()
    converged(scene.agent)
    assert {scene.node.ask(f"10.96.1.{number + 1}", 80).name for number in range(8)} <= {pod.name for pod in scene.pods}
    planned = scene.agent.birdctl("plan", "--run-router=false", "--exit-code")
    assert planned.returncode == 0, planned.stdout


def test_what_the_last_agent_left_goes_when_its_service_is_gone(scene: Scene) -> None:
    scene.start()
    scene.manifests.write(service("other", clusterIPs=["10.96.0.99"], ipFamilies=["IPv4"]))
    converged(scene.agent)
    scene.agent.kill_agent()
    scene.manifests.remove("Service", "other")
    scene.start()
    assert "10.96.0.99" not in str(everything(scene))
    assert scene.says() in {pod.name for pod in scene.pods}


# What is repaired, and what is left alone.

DAMAGES = {
    "a virtual server": f"ipvsadm -D -t {VIP}:80",
    "a real server": f"ipvsadm -d -t {VIP}:80 -r $(ipvsadm -Ln | awk '/->/ && /8080/ {{print $2; exit}}')",
    "an address": f"ip route del local {VIP} dev birdctl-vips table local",
    "a member of a set": f"ipset del birdsvc-ports4 {VIP},tcp:80",
    "a rule": "iptables-legacy -F BIRDSVC-INPUT",
    "a hook": "iptables-legacy -t nat -F POSTROUTING",
    "the device": "ip link del birdctl-vips",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_resync_repairs(scene: Scene, damage: str) -> None:
    scene.start("--ipvs-sync-period=1s")
    before = everything(scene)
    scene.agent.send_signal(signal.SIGSTOP)
    scene.sh(DAMAGES[damage])
    assert everything(scene) != before
    scene.agent.send_signal(signal.SIGCONT)
    eventually(lambda: everything(scene) == before, 15, pause=0.2)


def test_others_virtual_servers_stay(scene: Scene) -> None:
    scene.sh("ipvsadm -A -t 192.0.2.77:80 -s rr")
    scene.start("--ipvs-sync-period=1s")
    scene.agent.kill_agent(signal.SIGTERM)
    scene.agent.birdctl("cleanup")
    assert "192.0.2.77:80" in scene.sh("ipvsadm-save -n")


def test_emptying_a_node_is_refused(scene: Scene) -> None:
    scene.start()
    scene.manifests.remove("Service", "web")
    eventually(lambda: "would remove all" in scene.agent.error())
    assert scene.says() in {pod.name for pod in scene.pods}


def test_a_node_port_is_on_each_address_that_the_node_gets(scene: Scene) -> None:
    port = {"name": "tcp", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30080}
    scene.manifests.write(service("web", type="NodePort", ports=[port]))
    scene.start("--nodeport-bindon-all-ip")
    scene.sh("ip address add 192.0.2.5/32 dev lo")
    eventually(lambda: "192.0.2.5:30080" in scene.sh("ipvsadm-save -n"))
    assert scene.node.ask("192.0.2.5", 30080).name in {pod.name for pod in scene.pods}
    scene.sh("ip address del 192.0.2.5/32 dev lo")
    eventually(lambda: "192.0.2.5:30080" not in scene.sh("ipvsadm-save -n"))


# Load balancers outside ask.


def test_health_checks_follow_the_endpoints_of_this_node(scene: Scene) -> None:
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32500}
    scene.manifests.write(service("web", **local))
    scene.start()

    def status() -> int:
        with scene.node.namespace.inside():
            try:
                with urlopen(f"http://{scene.node.addresses[Family.IPV4]}:32500/healthz", timeout=5) as answer:
                    return int(answer.status)
            except HTTPError as error:
                return error.code

    assert status() == 200
    scene.manifests.write(*endpoints("web", []))
    converged(scene.agent)
    assert status() == 503


# Together with BGP.


@pytest.fixture
def routed(scene: Scene) -> Scene:
    scene.manifests.write(PEER)
    scene.agent.start_bird()
    scene.agent.start_agent(*ANNOUNCING)
    eventually(lambda: announced(scene))
    converged(scene.agent)  # the next agent undoes what was not confirmed
    next_hops = {str(each.prefix) for each in scene.agent.backend.routes(table="igp4")}
    assert f"{VIP}/32" not in next_hops, "the device of VIPs is no way to anywhere"
    return scene


def announced(scene: Scene, vip: str = VIP) -> bool:
    return any(str(route.prefix) == f"{vip}/32" for route in scene.agent.backend.routes(table="master4"))


def stands(scene: Scene, entry: str = IPVS_ENTRY) -> bool:
    return entry in Path(f"/proc/{scene.node.namespace.pid}/net/ip_vs").read_text()


def never_announced_without_a_server(
    scene: Scene, done: Callable[[], bool], vip: str = VIP, entry: str = IPVS_ENTRY
) -> None:
    """Watches until `done`."""
    deadline = time.monotonic() + 30
    while not done():
        there = stands(scene, entry)
        assert there or not announced(scene, vip), "announced, and nobody answers"
        assert time.monotonic() < deadline


def test_an_address_is_withdrawn_before_its_virtual_server_falls(routed: Scene) -> None:
    routed.manifests.write(service("other", clusterIPs=["10.96.0.99"], ipFamilies=["IPv4"]))
    converged(routed.agent)
    routed.manifests.remove("Service", "web")
    never_announced_without_a_server(routed, lambda: not stands(routed))
    assert not announced(routed)


def test_direct_server_return_is_withdrawn_before_it_falls(routed: Scene) -> None:
    spec = {"clusterIPs": ["10.96.0.98"], "ipFamilies": ["IPv4"], "externalIPs": [DIRECT_VIP]}
    ports = [{"name": "tcp", "port": PORT, "targetPort": PORT}]
    routed.manifests.write(service("direct", annotations={"birdctl.io/service.dsr": "tunnel"}, ports=ports, **spec))
    routed.manifests.write(*endpoints("direct", routed.pods))
    never_announced_without_a_server(routed, lambda: announced(routed, DIRECT_VIP), DIRECT_VIP, DIRECT_ENTRY)
    converged(routed.agent)
    routed.agent.bird.send_signal(signal.SIGSTOP)
    try:
        routed.manifests.remove("Service", "direct")
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert stands(routed, DIRECT_ENTRY), "it falls while BIRD announces it"
    finally:
        routed.agent.bird.send_signal(signal.SIGCONT)
    never_announced_without_a_server(routed, lambda: not stands(routed, DIRECT_ENTRY), DIRECT_VIP, DIRECT_ENTRY)
    assert not announced(routed, DIRECT_VIP)


def test_a_service_without_endpoints_is_not_announced_and_comes_back_after_the_hold_down(routed: Scene) -> None:
    routed.manifests.write(*endpoints("web", []))
    eventually(lambda: not announced(routed))
    withdrawn = time.monotonic()
    routed.manifests.write(*endpoints("web", routed.pods))
    converged(routed.agent)
    assert not announced(routed)
    never_announced_without_a_server(routed, lambda: announced(routed))
    assert time.monotonic() - withdrawn > 6.5


def test_an_agent_that_comes_back_withdraws_nothing(routed: Scene) -> None:
    routed.agent.kill_agent()
    routed.agent.start_agent(*ANNOUNCING)
    deadline = time.monotonic() + 30
    while not routed.agent.converged():
        assert announced(routed)
        assert time.monotonic() < deadline
    assert announced(routed)


def test_without_ipvs_pods_are_routed_and_services_are_not_announced(routed: Scene) -> None:
    """The proxy cannot work where excluded CIDRs keep it from its addresses."""
    routed.agent.kill_agent()
    flags = ("--advertise-cluster-ip", "--announce-hold-down=0", "--ready-sessions=0")
    routed.agent.start_agent(*flags, f"--excluded-cidrs={VIP}/32")
    eventually(lambda: not announced(routed))


def test_a_proxy_that_refuses_to_begin_does_not_keep_routing_from_it(scene: Scene) -> None:
    scene.start()
    scene.agent.kill_agent()
    scene.manifests.remove("Service", "web")
    scene.manifests.write(PEER)
    scene.agent.start_bird()
    scene.agent.start_agent("--ready-sessions=0")
    eventually(lambda: scene.agent.status().get("bird", {}).get("configDigest"))
    assert "would remove all" in scene.agent.error()


def test_the_metrics_tell_how_long_an_endpoint_s_change_took(scene: Scene) -> None:
    scene.start("--metrics-port=20300")
    slices = endpoints("web", scene.pods[:1])
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for each in slices:
        each["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": now}
    scene.manifests.write(*slices)
    converged(scene.agent)
    text = eventually(lambda: scene.sh("curl -s http://127.0.0.1:20300/metrics"))
    assert "birdctl_network_programming_duration_seconds_count 2.0" in text
    assert "birdctl_virtual_servers 2.0" in text


def test_render_s_links_are_what_ip_takes(scene: Scene, tmp_path: Path) -> None:
    scene.start()
    expected = scene.sh("ip route show table local dev birdctl-vips")
    scene.agent.kill_agent(signal.SIGTERM)
    scene.agent.birdctl("cleanup")
    rendered = scene.agent.birdctl("render", "--run-router=false", "--file=links").stdout
    (tmp_path / "links").write_text(rendered)
    scene.sh(f"ip -batch {tmp_path / 'links'}")
    assert scene.sh("ip route show table local dev birdctl-vips") == expected
