"""One agent for routing and policies: neither waits for what the other one writes to."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from birdctl.netfilter.iptables import Mode
from tests.agents import AgentNode, Manifests, converged, node
from tests.bird.daemon import Namespace
from tests.netns.policies.world import place, pod_document, policy
from tests.polling import eventually

POD = place("shop", "a", 1, 10)


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    """Nodes node1 and node2; a pod on the first, and a policy that closes it."""
    found = Manifests(tmp_path / "manifests")
    found.write(node("node1", "192.0.2.1", "10.244.1.0/24"), node("node2", "192.0.2.2", "10.244.2.0/24"))
    found.write(pod_document(POD, {"pod": "a"}), policy("closed", "shop"))
    return found


@pytest.fixture
def agent(manifests: Manifests) -> Iterator[AgentNode]:
    """The agent of node1 with both domains; its BIRD is not started."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        space = stack.enter_context(Namespace())
        found = AgentNode("node1", space, folder, [f"--manifests={manifests.folder}", "--run-firewall"])
        stack.callback(found.close)
        yield found


def domain(agent: AgentNode, name: str) -> dict[str, Any]:
    found: dict[str, Any] = agent.status().get("domains", {}).get(name, {})
    return found


def is_enforced(agent: AgentNode, address: str) -> bool:
    return any("birdctl-iso" in line and address in line for line in agent.namespace.run("ipset save").splitlines())


def test_policies_do_not_wait_for_a_bird_that_is_not_there(agent: AgentNode) -> None:
    agent.start_agent()
    eventually(lambda: domain(agent, "policies").get("converged"))
    assert is_enforced(agent, POD.addresses[0])
    assert is_enforced(agent, POD.addresses[1])
    assert not domain(agent, "routing")["converged"]
    assert not agent.status()["converged"]
    agent.start_bird()
    converged(agent)


def test_policies_do_not_wait_for_a_bird_that_hangs(agent: AgentNode, manifests: Manifests) -> None:
    agent.start_bird()
    agent.start_agent()
    converged(agent)
    agent.bird.send_signal(signal.SIGSTOP)
    try:
        for host in range(50, 55):
            new = place("shop", "new", 1, host)
            manifests.write(pod_document(new, {"pod": "new"}))
            eventually(lambda new=new: is_enforced(agent, new.addresses[0]), 1.0)
    finally:
        agent.bird.send_signal(signal.SIGCONT)
    converged(agent)


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As long as this file is there, the kernel takes no rule."""
    refusal, programs = tmp_path / "refusal", tmp_path / "programs"
    refusal.touch()
    programs.mkdir()
    for family, mode in itertools.product(("iptables", "ip6tables"), Mode):
        name = f"{family}-{mode}-restore"
        (programs / name).write_text(f'#!/bin/sh\n[ -e {refusal} ] && exit 4\nexec {shutil.which(name)} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return refusal


def test_routing_does_not_wait_for_a_kernel_that_refuses_policies(agent: AgentNode, refusal: Path) -> None:
    agent.start_bird()
    agent.start_agent()
    eventually(lambda: domain(agent, "routing").get("converged"))
    eventually(lambda: domain(agent, "policies").get("lastError"))
    assert not agent.status()["converged"]
    refusal.unlink()
    converged(agent)
    assert is_enforced(agent, POD.addresses[0])


def test_without_the_firewall_no_rule_is_written(agent: AgentNode) -> None:
    agent.start_bird()
    agent.start_agent("--run-firewall=false")
    converged(agent)
    assert "policies" not in agent.status()["domains"]
    assert agent.namespace.run("ipset save") == ""


def test_neither_is_nothing_to_do(agent: AgentNode) -> None:
    done = agent.birdctl("agent", "--run-router=false", "--run-firewall=false")
    assert done.returncode == 1
    assert "nothing to do" in done.stderr


def test_metrics_tell_what_is_programmed_and_what_passed_it(agent: AgentNode) -> None:
    agent.start_agent("--run-router=false")
    eventually(agent.converged)

    def metrics() -> dict[str, float]:
        text = agent.namespace.run("curl -s -m 5 http://127.0.0.1:20241/metrics")
        return {name: float(value) for name, value in re.findall(r"^(birdctl_\S+.*) (\S+)$", text, re.MULTILINE)}

    found = eventually(lambda: metrics().get("birdctl_policy_rules") and metrics())
    assert found["birdctl_converged"] == 1
    assert found["birdctl_policies_unprogrammed"] == 0
    assert found["birdctl_policy_sets"] >= 2
    assert found['birdctl_policy_passes_total{result="changed"}'] == 1
    refused = 'birdctl_policy_packets_total{direction="Ingress",effect="deny",policy=""}'
    before = found[refused]
    agent.namespace.run("sysctl -q net.ipv4.ip_forward=1")
    with Namespace() as client, Namespace() as server:
        agent.namespace.link(client, "192.0.2.1/24", "192.0.2.7/24", "outside")
        agent.namespace.link(server, "10.244.1.1/24", f"{POD.addresses[0]}/24", "pod")
        client.run("ip route add 10.244.1.0/24 via 192.0.2.1")
        with pytest.raises(AssertionError):
            client.run(f"ping -c 1 -W 1 {POD.addresses[0]}")
    eventually(lambda: metrics()[refused] > before)
