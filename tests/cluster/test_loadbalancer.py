"""Agents that give load balancer addresses at a real API server: one at a time, and no address twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from birdctl.cluster.apiclient import MERGE_PATCH, path_of
from birdctl.cluster.bgp import AddressPool
from birdctl.cluster.lease import INTENTS, Lease
from birdctl.cluster.objects import Node, Service
from birdctl.reconcile.allocation import LEASE
from birdctl.reconcile.election import DURATION_SECONDS
from tests.kube import KubeApiServer
from tests.polling import eventually

SPACE = "addresses"
TAKEOVER_SECONDS = DURATION_SECONDS + 20


class Candidate:
    """An agent that does nothing but give addresses."""

    def __init__(self, name: str, folder: Path, kubeconfig: Path) -> None:
        self.name = name
        self.log = folder / "log"
        folder.mkdir()
        flags = {
            "node": name,
            "kubeconfig": kubeconfig,
            "runtime-dir": folder,
            "run-router": "false",
            "run-loadbalancer": "true",
            "service-cluster-ip-range": "10.96.0.0/16,fd96::/112",
            "metrics-port": 0,
            "health-port": 0,
        }
        command = [sys.executable, "-m", "birdctl", "agent", *(f"--{key}={value}" for key, value in flags.items())]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
            self.send(signal.SIGCONT)
        self.process.wait()


class World:
    def __init__(self, server: KubeApiServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._kubeconfig = server.kubeconfig(server.service_account_token("birdctl-system", "birdctl"))
        self.candidates: dict[str, Candidate] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.candidates[name] = Candidate(name, self._folder / name, self._kubeconfig)

    def pool(self, name: str, *ranges: str) -> dict[str, Any]:
        item = {"apiVersion": "birdctl.io/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}}
        item["spec"] = {"ranges": list(ranges)}
        self.server.apply(item)
        return item

    def serve(self, *names: str, **spec: Any) -> None:
        for name in names:
            metadata = {"name": name, "namespace": SPACE}
            whole = {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False, **spec}
            self.server.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": whole})

    def change(self, name: str, **spec: Any) -> None:
        self.server.client.request("PATCH", path_of(Service, name, namespace=SPACE), {"spec": spec}, MERGE_PATCH)

    def delete(self, name: str) -> None:
        self.server.client.request("DELETE", path_of(Service, name, namespace=SPACE))

    def addresses(self) -> dict[str, list[str]]:
        items = json.loads(self.server.client.request("GET", path_of(Service, namespace=SPACE)))["items"]
        ingress = {each["metadata"]["name"]: each["status"]["loadBalancer"].get("ingress", []) for each in items}
        return {name: [one["ip"] for one in found] for name, found in ingress.items()}

    def given(self, names: Iterable[str]) -> bool:
        found = self.addresses()
        return all(found[name] for name in names)

    def leader(self) -> str:
        return str(self._lease()["spec"].get("holderIdentity", "")).partition("_")[0]

    def intents(self) -> dict[str, Any]:
        """What the leader recorded last, by service."""
        found: dict[str, Any] = json.loads(self._lease()["metadata"]["annotations"][INTENTS])
        return found

    def _lease(self) -> dict[str, Any]:
        path = path_of(Lease, LEASE, namespace="birdctl-system")
        found: dict[str, Any] = json.loads(self.server.client.request("GET", path))
        return found

    def close(self) -> None:
        for each in self.candidates.values():
            each.close()


@pytest.fixture
def world(own_apiserver: KubeApiServer) -> Iterator[World]:
    from tests.kube import manifests  # noqa: PLC0415

    own_apiserver.apply(*manifests(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loadbalancer-")))
        found = World(own_apiserver, folder)
        stack.callback(found.close)
        yield found


def no_address_twice(found: dict[str, list[str]]) -> None:
    every = [address for addresses in found.values() for address in addresses]
    assert len(every) == len(set(every)), found


def test_the_leader_gives_addresses_and_says_how_many_are_left(world: World) -> None:
    world.pool("public", "192.0.2.0/29", "2001:db8::/64")
    world.start("a")
    world.serve("web", "mail")
    eventually(lambda: world.given(["web", "mail"]), 30)
    assert world.addresses() == {"mail": ["192.0.2.1"], "web": ["192.0.2.2"]} or world.addresses() == {
        "web": ["192.0.2.1"],
        "mail": ["192.0.2.2"],
    }
    path = path_of(AddressPool, "public")
    eventually(lambda: json.loads(world.server.client.request("GET", path)).get("status"))
    status = json.loads(world.server.client.request("GET", path))["status"]
    assert status["ipv4"] == {"total": 6, "assigned": 2}
    assert status["ipv6"] == {"total": 2**53, "assigned": 0}


def with_the_only_address(world: World, service: str) -> None:
    """It has all that the pool has."""
    world.pool("small", "192.0.2.9/32")
    world.start("a")
    world.serve(service)
    eventually(lambda: world.given([service]), 30)


def test_an_exhausted_pool_is_an_event_of_the_service_and_more_range_mends_it(world: World) -> None:
    with_the_only_address(world, "first")
    world.serve("second")

    def told() -> list[str]:
        events = json.loads(world.server.client.request("GET", f"/api/v1/namespaces/{SPACE}/events"))["items"]
        return [each["message"] for each in events if each["involvedObject"]["name"] == "second"]

    eventually(told, 30)
    assert "no IPv4 address is free in small: add a range" in told()[0]
    world.pool("small", "192.0.2.9/32", "192.0.2.20-192.0.2.21")
    eventually(lambda: world.given(["second"]))
    assert world.addresses() == {"first": ["192.0.2.9"], "second": ["192.0.2.20"]}


def test_the_lease_stays_small_however_many_services_wait(world: World) -> None:
    """An API server takes no object with more than 256 KiB of annotations."""
    names = [f"s{number}" for number in range(150)]
    world.serve(*names)
    world.pool("public", "192.0.2.0/24")
    world.start("a")
    eventually(lambda: world.given(names), 60)
    assert 0 < len(world.intents()) < 100


def test_addresses_stay_over_a_restart_and_come_free_with_their_service(world: World) -> None:
    world.pool("public", "192.0.2.0/29")
    world.start("a")
    world.serve("one", "two")
    eventually(lambda: world.given(["one", "two"]), 30)
    before = world.addresses()
    world.candidates["a"].send(signal.SIGTERM)
    world.candidates["a"].process.wait(20)
    assert world.leader() == "", "who ends lets the next one lead"
    world.start("b")
    world.serve("three")
    eventually(lambda: world.given(["three"]), 30)
    found = world.addresses()
    assert {name: found[name] for name in before} == before
    world.delete("one")
    world.serve("four")
    eventually(lambda: world.given(["four"]))
    no_address_twice(world.addresses())


def test_a_service_that_is_no_load_balancer_any_more_gives_its_address_back(world: World) -> None:
    with_the_only_address(world, "one")
    world.serve("two")
    world.change("one", type="ClusterIP", allocateLoadBalancerNodePorts=None)
    eventually(lambda: world.given(["two"]))
    assert world.addresses() == {"one": [], "two": ["192.0.2.9"]}


def test_services_follow_what_they_ask_for(world: World) -> None:
    """Another address, a node that has it, other families; and nobody else's services are touched."""
    world.pool("public", "192.0.2.0/24", "2001:db8::/64")
    world.start("a")
    world.serve("web", ipFamilyPolicy="PreferDualStack")
    world.serve("other", loadBalancerClass="example.com/other")
    eventually(lambda: world.addresses()["web"] == ["192.0.2.1", "2001:db8::1"], 30)
    world.change("web", loadBalancerIP="192.0.2.77")
    eventually(lambda: world.addresses()["web"] == ["192.0.2.77", "2001:db8::1"])
    world.change("web", ipFamilyPolicy="SingleStack")
    eventually(lambda: world.addresses()["web"] == ["192.0.2.77"])
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "taker"}}
    world.server.apply(node)
    addresses = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.77"}]}}
    world.server.client.request("PATCH", path_of(Node, "taker", subresource="status"), addresses, MERGE_PATCH)
    eventually(lambda: world.addresses()["web"] == [])
    world.change("web", loadBalancerIP=None)
    eventually(lambda: world.addresses() == {"other": [], "web": ["192.0.2.1"]})


@pytest.mark.timeout(300)
def test_several_agents_never_give_one_address_twice_whoever_dies_or_sleeps(world: World) -> None:
    world.pool("public", "192.0.2.0-192.0.2.63")
    world.start("a", "b", "c")
    names = [f"s{number}" for number in range(60)]
    world.serve(*names[:20])
    eventually(lambda: world.given(names[:20]), 40)
    first = world.leader()
    world.candidates[first].send(signal.SIGSTOP)
    world.serve(*names[20:40])
    eventually(lambda: world.leader() != first, TAKEOVER_SECONDS, pause=0.5)
    eventually(lambda: world.given(names[20:40]), 40)
    world.candidates[first].send(signal.SIGCONT)
    second = world.leader()
    assert second != first
    world.candidates[second].send(signal.SIGKILL)
    world.serve(*names[40:])
    eventually(lambda: world.given(names), TAKEOVER_SECONDS + 20, pause=0.5)
    found = world.addresses()
    no_address_twice(found)
    assert {len(addresses) for addresses in found.values()} == {1}


def test_what_a_predecessor_was_about_to_write_is_done_before_anything_else(world: World) -> None:
    """The predecessor died after it had recorded its intent: the next one gives that address to that Service."""
    world.pool("public", "192.0.2.0/24")
    world.serve("later", "meant")
    body = json.loads(world.server.client.request("GET", path_of(Service, "meant", namespace=SPACE)))
    intents = {f"{SPACE}/meant": {"version": body["metadata"]["resourceVersion"], "addresses": ["192.0.2.1"]}}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    annotations = {INTENTS: json.dumps(intents)}
    metadata = {"name": LEASE, "namespace": "birdctl-system", "annotations": annotations}
    world.server.apply({**lease, "metadata": metadata, "spec": {"holderIdentity": ""}})
    world.start("a")
    eventually(lambda: world.given(["later", "meant"]), 30)
    assert world.addresses() == {"meant": ["192.0.2.1"], "later": ["192.0.2.2"]}
