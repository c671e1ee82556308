"""Doctor on a node that has all that services need."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.netfilter import sysctl
from birdctl.services import sysctls
from tests.bird.daemon import Namespace


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace() as node:
        yield node


def doctor(node: Namespace, folder: Path) -> dict[str, dict[str, str]]:
    """What it says, by check."""
    words = (f"--runtime-dir={folder}", "doctor", "--run-router=false", "--run-service-proxy", "--output=json")
    command = node.command(sys.executable, "-m", "birdctl", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {each["check"]: each for each in json.loads(done.stdout)["items"]}


def test_what_the_kernel_has_is_ok_and_settings_wait_for_the_agent(node: Namespace, tmp_path: Path) -> None:
    found = doctor(node, tmp_path)
    for check in ("IPVS", "schedulers", "VIP device", "IPv4 tunnels", "IPv6 tunnels", "other proxies"):
        assert found[check]["result"] == "ok", found[check]
    assert found["net.ipv4.vs.conntrack"]["result"] == "warning"


def test_settings_that_the_agent_made_are_ok(node: Namespace, tmp_path: Path) -> None:
    with node.inside():
        wanted = sysctls.needed_here()
        assert sysctl.apply(wanted) == ()
    found = doctor(node, tmp_path)
    assert {found[each.name]["result"] for each in wanted} == {"ok"}


def test_what_another_proxy_left_is_told(node: Namespace, tmp_path: Path) -> None:
    node.run("ip link add kube-ipvs0 type dummy")
    node.run("iptables-legacy -t nat -N KUBE-SERVICES")
    node.run("ipvsadm -A -t 10.96.0.1:80")
    leftovers = doctor(node, tmp_path)["leftovers"]
    assert leftovers["result"] == "warning"
    for each in ("device kube-ipvs0", "chain KUBE-SERVICES", "1 virtual servers"):
        assert each in leftovers["found"]
