"""The DaemonSet's pods on two nodes, with exactly its arguments, volumes and rights, against a real API server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from birdctl.cluster.apiclient import path_of
from birdctl.cluster.bgp import BGPNodeState
from birdctl.cluster.objects import Node
from birdctl.errors import ApiRefused
from tests.agents import node
from tests.bird.daemon import Namespace
from tests.kube import KubeApiServer
from tests.pods import Pod
from tests.polling import eventually

ADDRESSES = {"pod-a": "10.99.0.1", "pod-b": "10.99.0.2"}
POD_CIDRS = {"pod-a": "10.101.0.0/24", "pod-b": "10.102.0.0/24"}


class Two:
    """Two nodes on one wire, each with its pod."""

    def __init__(self, apiserver: KubeApiServer, pods: dict[str, Pod], spaces: dict[str, Namespace]) -> None:
        self.apiserver = apiserver
        self.pods = pods
        self.spaces = spaces

    def state(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self.apiserver.client.request("GET", path_of(BGPNodeState, name)))
        except ApiRefused:
            return {}
        return dict(found.get("status", {}))

    def annotations(self, name: str) -> dict[str, str]:
        found = json.loads(self.apiserver.client.request("GET", path_of(Node, name)))
        return dict(found["metadata"].get("annotations", {}))

    def routed(self) -> bool:
        """Whether each node's kernel has the other's pods."""
        one, other = ("pod-a", "pod-b")
        return POD_CIDRS[other] in self.routes(one) and POD_CIDRS[one] in self.routes(other)

    def routes(self, name: str) -> str:
        return self.spaces[name].run("ip route show proto bird")


@pytest.fixture(scope="module")
def two(apiserver: KubeApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    objects = [node(name, address, POD_CIDRS[name]) for name, address in ADDRESSES.items()]
    apiserver.apply(*objects)
    with ExitStack() as stack:
        stack.callback(apiserver.delete, *objects)
        spaces = {name: stack.enter_context(Namespace()) for name in ADDRESSES}
        spaces["pod-a"].link(spaces["pod-b"], *(f"{address}/24" for address in ADDRESSES.values()))
        pods: dict[str, Pod] = {}
        for name, space in spaces.items():
            pods[name] = Pod(name, space, tmp_path_factory.mktemp(name), apiserver)
            stack.callback(pods[name].close)
            pods[name].start("bird")
            pods[name].start("agent")
        yield Two(apiserver, pods, spaces)


def test_the_pods_route_to_each_other(two: Two):
    eventually(two.routed)


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_probe_of_the_manifest_succeeds(two: Two, name: str):
    for container, probe in (("agent", "livenessProbe"), ("agent", "readinessProbe"), ("bird", "livenessProbe")):
        eventually(lambda container=container, probe=probe: two.pods[name].succeeds(container, probe))


@pytest.mark.parametrize("name", ADDRESSES)
def test_sessions_are_told_in_the_node_state_and_on_the_node(two: Two, name: str):
    (other,) = ADDRESSES.keys() - {name}
    eventually(lambda: two.state(name).get("established") == "1/1", 30)
    (peer,) = two.state(name)["peers"]
    assert (peer["peer"], peer["type"], peer["state"]) == (other, "mesh", "Established")
    eventually(lambda: two.state(name)["peers"][0]["families"]["ipv4"]["accepted"] == 1, 60)
    eventually(lambda: two.annotations(name).get("birdctl.io/bgp-state") == "1/1", 30)


def test_a_changed_configmap_is_taken_over_without_a_restart(two: Two):
    for pod in two.pods.values():
        pod.write_settings("2", **{"cluster-asn": 64777})
    eventually(lambda: {two.annotations(name).get("birdctl.io/asn") for name in ADDRESSES} == {"64777"}, 60)
    eventually(two.routed)


def test_a_bird_that_kubelet_replaces_withdraws_nothing(two: Two, tmp_path: Path):
    eventually(two.routed)
    with Losses(two.spaces["pod-b"], tmp_path) as losses:
        two.pods["pod-a"].stop("bird")
        two.pods["pod-a"].start("bird")
        eventually(lambda: "Established" in birdc(two, "pod-a", "show", "protocols"), 30)
        eventually(lambda: two.pods["pod-a"].succeeds("agent", "readinessProbe"), 30)
    assert losses.seen() == []
    assert two.routed()


def test_without_the_prestop_hook_it_would(two: Two, tmp_path: Path):
    with Losses(two.spaces["pod-b"], tmp_path) as losses:
        two.pods["pod-a"].stop("bird", hooks=False)
        eventually(lambda: not two.routed())
    assert losses.seen()
    two.pods["pod-a"].start("bird")
    eventually(two.routed, 30)


def test_an_agent_that_kubelet_replaces_withdraws_nothing(two: Two, tmp_path: Path):
    with Losses(two.spaces["pod-a"], tmp_path) as here, Losses(two.spaces["pod-b"], tmp_path) as there:
        two.pods["pod-a"].stop("agent")
        two.pods["pod-a"].start("agent")
        eventually(lambda: two.pods["pod-a"].succeeds("agent", "readinessProbe"), 30)
    assert here.seen() == there.seen() == []


def test_no_log_has_a_traceback(two: Two):
    assert not [name for name, pod in two.pods.items() if "Traceback" in pod.log("agent")]


def birdc(two: Two, name: str, *command: str) -> str:
    socket = two.pods[name].folder / "volumes/bird-socket/bird.ctl"
    done = subprocess.run(["birdc", "-s", socket, *command], capture_output=True, text=True, check=False)
    return done.stdout


class Losses:
    """Routes that a kernel lost meanwhile (ip-monitor(8)). Routes of our own tell that it listens, and has said all."""

    def __init__(self, space: Namespace, folder: Path) -> None:
        self._space = space
        self._output = folder / f"monitor-{id(space)}"

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(self._space.command("ip", "monitor", "route"), stdout=output)
        eventually(lambda: self._says("198.51.100.1"))
        return self

    def __exit__(self, *_: object) -> None:
        eventually(lambda: self._says("198.51.100.2"))
        self._process.kill()
        self._process.wait()

    def seen(self) -> list[str]:
        lines = self._output.read_text().splitlines()
        return [line for line in lines if line.startswith("Deleted") and "proto bird" in line]

    def _says(self, mark: str) -> bool:
        self._space.run(f"ip route replace {mark}/32 dev lo")
        self._space.run(f"ip route del {mark}/32 dev lo")
        return mark in self._output.read_text()
