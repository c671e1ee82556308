"""A policy that the kernel refuses, as an operator of a real API server sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from birdctl.policies.apply import PolicyBackend
from birdctl.policies.simulate import verdict
from tests.agents import AgentNode, converged, node
from tests.bird.daemon import Namespace
from tests.kube import KubeApiServer
from tests.pods import Relay
from tests.polling import eventually
from tests.unit.policies.build import packet

RED = "policy-events"
ADDRESSES = {"web": "10.77.0.2", "db": "10.77.0.3", "client": "10.77.0.4"}
HERE = "192.0.2.1"
"""An address that the API server's certificate has."""


def pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": RED, "labels": {"app": name}},
        "spec": {"nodeName": "policed", "containers": [{"name": "main", "image": "any"}]},
        "status": {"phase": "Running", "podIP": ADDRESSES[name], "podIPs": [{"ip": ADDRESSES[name]}]},
    }


def policy(app: str, ingress: list[dict[str, Any]]) -> dict[str, Any]:
    """Named like the pod it selects."""
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"], "ingress": ingress}
    metadata = {"name": app, "namespace": RED}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


FROM_CLIENT = policy("web", [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}])
PORT_80 = policy("db", [{"ports": [{"port": 80}]}])


@dataclass
class Policed:
    """A node whose agent enforces policies and knows nothing of routing."""

    apiserver: KubeApiServer
    space: Namespace
    agent: AgentNode

    def set_of_peers(self) -> str:
        """The name of the one set that FROM_CLIENT needs; empty while there is none."""
        names = self.space.run("ipset list -n").split()
        return next((name for name in names if name.startswith("birdctl-pods4")), "")

    def arrives(self, target: str, port: int) -> bool:
        """What the rules in the kernel make of a connection of the pod client."""
        with self.space.inside():
            backend = PolicyBackend(Mode.NFT)
            try:
                question = packet(ADDRESSES["client"], ADDRESSES[target], port)
                return verdict(backend.read(), Family.IPV4, "FORWARD", question).allowed
            finally:
                backend.close()

    def events(self, name: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{RED}/events"
        listed = json.loads(self.apiserver.client.request("GET", path))["items"]
        return [each for each in listed if each["involvedObject"]["name"] == name]


@pytest.fixture
def policed(apiserver: KubeApiServer, tmp_path: Path) -> Iterator[Policed]:
    objects = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RED}},
        node("policed", "10.77.0.1", "10.77.0.0/24"),
        *map(pod, ADDRESSES),
    )
    apiserver.apply(*objects)
    with ExitStack() as stack:
        stack.callback(apiserver.delete, *reversed(objects))
        space = stack.enter_context(Namespace())
        space.run(f"ip address add {HERE}/32 dev lo")
        space.run("iptables-nft -t mangle -N KUBE-IPTABLES-HINT")
        relay = Relay(space, (HERE, apiserver.port), (apiserver.address, apiserver.port))
        stack.callback(relay.close)
        kubeconfig = apiserver.kubeconfig(apiserver.service_account_token("birdctl-system", "birdctl"))
        kubeconfig.write_text(kubeconfig.read_text().replace(apiserver.address, HERE))
        agent = AgentNode("policed", space, tmp_path, [f"--kubeconfig={kubeconfig}"])
        stack.callback(agent.close)
        agent.start_agent("--run-router=false", "--run-firewall", "--metrics-port=0", "--health-port=0")
        converged(agent)
        yield Policed(apiserver, space, agent)


def test_a_policy_that_the_kernel_refuses_closes_its_pods_and_says_so_in_an_event(policed: Policed) -> None:
    apiserver, agent = policed.apiserver, policed.agent
    apiserver.apply(FROM_CLIENT, PORT_80)
    name = eventually(policed.set_of_peers)
    apiserver.delete(FROM_CLIENT)
    eventually(lambda: name not in policed.space.run("ipset list -n"))
    policed.space.run(f"ipset create {name} hash:net,port")
    policed.space.run(f"iptables-nft -A INPUT -m set --match-set {name} src,src")
    apiserver.apply(FROM_CLIENT)
    (event,) = eventually(lambda: policed.events("web"), 15, pause=0.1)
    assert (event["type"], event["reason"], event["involvedObject"]["kind"]) == (
        "Warning",
        "NotProgrammed",
        "NetworkPolicy",
    )
    assert event["message"] == (
        f"the kernel of policed does not take it, its pods are closed: ipset {name}: a set of that name and another"
        " kind is there, and rules of others use it"
    )
    assert agent.status()["healthy"] is False
    assert [policed.arrives(*to) for to in (("web", 80), ("db", 80), ("db", 81))] == [False, True, False]
    policed.space.run("iptables-nft -F INPUT")
    eventually(lambda: agent.status()["healthy"], 15, pause=0.2)
    assert policed.arrives("web", 80)
    assert policed.events("db") == []
