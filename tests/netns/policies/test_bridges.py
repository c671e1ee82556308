"""Pods on one bridge: which bridges there are, and what an agent says that may not have their packets filtered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.errors import BirdctlError
from birdctl.netfilter import sysctl
from birdctl.policies import bridges
from birdctl.reconcile.control import ask
from tests.bird.daemon import _ENDS_WITH_US, Namespace
from tests.polling import eventually

OFF = "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"
UNPRIVILEGED = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "
"""As in a container."""


@pytest.fixture
def space() -> Iterator[Namespace]:
    """A bridge with a pod's port, and one without."""
    with Namespace() as found:
        for line in ("add cni0 type bridge", "add idle type bridge", "add pod type veth peer name inside"):
            found.run(f"ip link {line}")
        found.run("ip link set pod master cni0")
        found.run(OFF)
        yield found


def test_bridges_with_ports_count(space: Namespace) -> None:
    with space.inside():
        assert bridges.with_ports() == ("cni0",)
        space.run("ip link set pod nomaster")
        assert bridges.with_ports() == ()


@pytest.mark.parametrize("family", list(Family))
def test_it_is_switched_on_for_this_namespace_and_back(space: Namespace, tmp_path: Path, family: Family) -> None:
    record = tmp_path / "record"
    with space.inside():
        wanted = bridges.settings([family], ["cni0"])
        assert sysctl.deviations(wanted)
        assert sysctl.apply(wanted, record) == ()
        assert sysctl.restore(record) == (wanted[0].name,)
        assert sysctl.deviations(wanted)


def test_an_agent_that_may_not_switch_it_on_says_what_to_do(space: Namespace, tmp_path: Path) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    (tmp_path / "node.json").write_text(json.dumps(node))
    flags = ("--node=n1", "--run-router=false", "--run-firewall", "--metrics-port=0", "--health-port=0")
    where = (f"--manifests={tmp_path}", f"--runtime-dir={tmp_path / 'run'}")
    agent = (sys.executable, "-m", "birdctl", "agent", *flags, *where, "--enable-ipv6=false")
    command = space.command(*_ENDS_WITH_US, "unshare", "--mount", "sh", "-ec", UNPRIVILEGED + " ".join(agent))

    def problems() -> list[str]:
        with suppress(BirdctlError):
            return list(ask(tmp_path / "run", "status")["problems"])
        return []

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            (problem,) = eventually(problems)
            assert problem == (
                "Node n1: net.bridge.bridge-nf-call-iptables is 0: no policy between pods on cni0"
                " (on the node: sysctl -w net.bridge.bridge-nf-call-iptables=1)"
            )
        finally:
            process.kill()
