"""`birdctl show services`, `birdctl explain service` and metrics: a node with a real agent, kernel and router."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from birdctl.addresses import Family
from tests.agents import AgentNode, Manifests, converged, node
from tests.bird.daemon import Bird
from tests.birds import bird_program
from tests.polling import eventually
from tests.vm.objects import CLUSTER_IPS, endpoints, service
from tests.vm.world import World

VIP = "203.0.113.10"
SETTINGS = ("--service-external-ip-range=203.0.113.0/24",)
ROUTER = """
router id 198.18.0.254;
protocol device {}
protocol bgp n1 { local 198.18.0.254 as 65001; neighbor 198.18.0.1 as 64512; ipv4 { import all; export none; }; }
"""
OBJECTS = (
    {
        "kind": "BGPConfiguration",
        "metadata": {"name": "default"},
        "spec": {"asn": 64512, "topology": "None"},
    },
    {
        "kind": "BGPPeer",
        "metadata": {"name": "tor1"},
        "spec": {"address": "198.18.0.254", "asn": 65001, "families": ["IPv4"]},
    },
    {"kind": "BGPAdvertisement", "metadata": {"name": "web"}, "spec": {"addresses": ["ExternalIP"]}},
)


@dataclass(frozen=True)
class Scene:
    """n1, whose agent proxies `default/web` and tells it to tor1."""

    world: World
    manifests: Manifests
    agent: AgentNode

    @property
    def settings(self) -> Path:
        return self.manifests.folder.parent / "settings.yaml"

    def hold_down(self, time: str) -> None:
        """Tells the agent for how long not to announce what was withdrawn."""
        before = self.agent.log.read_text().count("settings read again")
        self.settings.write_text(f"announce-hold-down: {time}\n")
        self.agent.send_signal(signal.SIGHUP)
        eventually(lambda: self.agent.log.read_text().count("settings read again") > before)

    def birdctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        places = {"runtime-dir": self.agent.run, "bird-socket": self.agent.bird.socket}
        command = [sys.executable, "-m", "birdctl", *words, *(f"--{flag}={path}" for flag, path in places.items())]
        return subprocess.run(
            self.agent.namespace.command(*command), capture_output=True, text=True, check=False, timeout=60
        )

    def items(self, *words: str) -> dict[str, dict[str, Any]]:
        """`show services -o json`, by address, port and protocol."""
        done = self.birdctl("show", "services", "-o", "json", *words)
        assert done.returncode == 0, done.stderr
        return {_key(item): item for item in json.loads(done.stdout)["items"]}

    def explained(self, *words: str, name: str = "default/web") -> str:
        """Text of `explain service`, which is content."""
        done = self.birdctl("explain", "service", name, *words)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def repair(self) -> None:
        """The agent looks at the kernel afresh, and all is well again."""
        self.agent.send_signal(signal.SIGHUP)
        eventually(lambda: {each["state"] for each in self.items().values()} == {"ok"})
        eventually(lambda: "was sent it" in self.explained())

    def announced(self) -> bool:
        return any(str(each.prefix) == f"{VIP}/32" for each in self.agent.backend.routes(table="master4"))

    def metric(self, name: str, address: str) -> float:
        with self.agent.namespace.inside():
            text = urllib.request.urlopen("http://127.0.0.1:20241/metrics", timeout=10).read().decode()
        (line,) = (each for each in text.splitlines() if each.startswith(name) and f'address="{address}"' in each)
        return float(line.split()[-1])


def _key(item: dict[str, Any]) -> str:
    return f"{item['address']} {item['port']}/{item['protocol']}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("seen")
    manifests = Manifests(folder / "manifests")
    with World(nodes=1, pods=2) as world:
        manifests.write(world.nodes["n1"].document(), node("n2", "198.18.0.2", "10.244.2.0/24"))
        manifests.write(*({"apiVersion": "birdctl.io/v1alpha1", **each} for each in OBJECTS))
        manifests.write(service("web", externalIPs=[VIP]), *endpoints("web", world.pods.values()))
        router = Bird(bird_program("system"), world.router.namespace, folder / "router")
        agent = world.nodes["n1"].agent(folder, manifests)
        try:
            router.start(ROUTER)
            agent.start_bird()
            scene = Scene(world, manifests, agent)
            scene.settings.write_text("announce-hold-down: 0\n")
            agent.start_agent(*SETTINGS, f"--config={scene.settings}")
            converged(agent, timeout=60)
            eventually(lambda: VIP in "".join(map(str, router.request("show route").lines)), 30)
            yield scene
        finally:
            agent.close()
            router.kill()


def test_a_service_has_an_item_for_each_address_with_what_the_kernel_has(scene: Scene) -> None:
    found = scene.items()
    assert found.keys() == {f"{address} 80/TCP" for address in (*CLUSTER_IPS.values(), VIP)}
    assert {each["state"] for each in found.values()} == {"ok"}
    vip = found[f"{VIP} 80/TCP"]
    assert (vip["name"], vip["kind"], vip["scheduler"], vip["advertisedTo"]) == ("web", "ExternalIP", "rr", ["tor1"])
    pods = {str(pod.addresses[Family.IPV4]) for pod in scene.world.pods.values()}
    assert {each["address"] for each in vip["realServers"]} == pods
    assert found[f"{CLUSTER_IPS[Family.IPV4]} 80/TCP"]["advertisedTo"] == []


def test_connections_are_counted_in_items_and_metrics(scene: Scene) -> None:
    address = CLUSTER_IPS[Family.IPV4]
    before = scene.metric("birdctl_service_connections_total", address)
    with scene.world.nodes["n1"].connect(address, 80) as connection:
        connection.ask()
        reals = scene.items()[f"{address} 80/TCP"]["realServers"]
        assert sum(each["activeConnections"] for each in reals) == 1
    eventually(lambda: scene.metric("birdctl_service_connections_total", address) == before + 1)
    assert scene.metric("birdctl_service_packets_out_total", address) > 0
    assert scene.items()[f"{address} 80/TCP"]["traffic"]["connections"] == before + 1


def test_a_namespace_may_be_chosen(scene: Scene) -> None:
    assert scene.items("-n", "other") == {}
    assert len(scene.items("-n", "default")) == 3


def test_a_virtual_server_that_somebody_removes_or_changes_is_seen(scene: Scene) -> None:
    pod = scene.world.pods["n1-a"].addresses[Family.IPV4]
    cluster_ip = CLUSTER_IPS[Family.IPV4]
    for command in (
        f"ipvsadm -D -t {VIP}:80",
        f"ipvsadm -e -t {cluster_ip}:80 -r {pod}:8080 -m -w 5",
        "ipvsadm -A -t 198.18.0.1:99",
    ):
        scene.agent.namespace.run(command)
    found = scene.items()
    assert found[f"{VIP} 80/TCP"]["state"] == "missing"
    differences = found[f"{cluster_ip} 80/TCP"]["differences"]
    assert differences == [f"real server {pod} port 8080: weight 5 instead of 1"]
    assert len(found) == 3
    scene.repair()


def test_an_explanation_goes_from_the_object_to_the_peer(scene: Scene) -> None:
    lines = scene.explained().splitlines()
    assert lines[0] == "default/web on node n1"
    assert list(dict.fromkeys(line.split()[0] for line in lines[1:])) == [
        *("service", "address", "policy", "endpoints", "IPVS", "VIP", "rules", "BGP", "tor1")
    ]
    assert not any(line.split()[1] == "no" for line in lines[1:])


def test_the_objects_alone_say_the_same(scene: Scene) -> None:
    manifests, rest = f"--manifests={scene.manifests.folder}", SETTINGS
    assert scene.explained(manifests, *rest) == scene.explained()
    far = scene.explained(manifests, *rest, "--node=n2")
    assert "not looked at: ask on n2 itself" in far
    assert "10.244.1.2 (default/n1-a on n1)" in far


def test_a_kernel_that_disagrees_is_an_error(scene: Scene) -> None:
    scene.agent.namespace.run(f"ipvsadm -D -t {VIP}:80")
    scene.agent.namespace.run(f"ip route del table local local {VIP} dev birdctl-vips")
    scene.agent.namespace.run(f"ipset del birdsvc-vips4 {VIP}")
    done = scene.birdctl("explain", "service", "default/web", "-o", "json")
    assert done.returncode == 1
    assert "the kernel disagrees with the objects" in done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["agrees"]) == ("ServiceExplanation", False)
    assert [each["text"] for each in found["steps"] if each["text"].startswith("DISAGREE")] == [
        f"DISAGREE: {VIP} 80/TCP: it is not in the kernel",
        f"DISAGREE: the node does not hold {VIP}",
        f"DISAGREE: {VIP} is not in ipset birdsvc-vips4",
    ]
    scene.repair()
    assert "DISAGREE" not in scene.explained()


def test_settings_that_are_read_again_withdraw_nothing(scene: Scene) -> None:
    scene.agent.send_signal(signal.SIGHUP)
    eventually(lambda: scene.agent.logged("settings read again"))
    converged(scene.agent)
    assert "was sent it" in scene.explained()


def test_a_service_that_is_not_there_is_one_line(scene: Scene) -> None:
    done = scene.birdctl("explain", "service", "default/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "birdctl: SERVICE: there is no Service default/none; expected NAMESPACE/NAME\n"


def test_why_an_address_is_not_announced_is_said_exactly(scene: Scene) -> None:
    """By the endpoints' coming and going: withdrawn, held down, announced again."""
    pods = scene.world.pods.values()
    scene.hold_down("1h")
    scene.manifests.write(*endpoints("web", pods, conditions={pod.name: {"ready": False} for pod in pods}))
    eventually(lambda: not scene.announced())
    found = scene.explained()
    assert f"{VIP} is not announced: no endpoint is ready" in found
    assert "4 not ready" in found
    scene.manifests.write(*endpoints("web", pods))
    converged(scene.agent)
    assert "it was withdrawn a moment ago, and may be announced again in" in scene.explained()
    scene.hold_down("0")
    eventually(lambda: "was sent it" in scene.explained())


def test_without_an_agent_the_kernel_is_shown_without_names(scene: Scene) -> None:
    scene.agent.kill_agent()
    done = scene.birdctl("show", "services", "-o", "json")
    assert done.returncode == 2
    assert done.stderr == "birdctl: no agent answers on n1: whose virtual servers these are is not known\n"
    found = json.loads(done.stdout)["items"]
    assert {_key(each) for each in found} == {f"{address} 80/TCP" for address in (*CLUSTER_IPS.values(), VIP)}
    assert not any("name" in each for each in found)
    refused = scene.birdctl("explain", "service", "default/web")
    assert refused.returncode == 1
    assert "no agent answers" in refused.stderr
    assert "2 serve" in scene.explained(f"--manifests={scene.manifests.folder}", SETTINGS[0])
