"""The rendered files on a real kernel, what doctor tries out there, and what a reader of the log gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from birdctl.netfilter.iptables import Mode
from tests.bird.daemon import Namespace
from tests.netns.policies.scene import OBJECTS


@pytest.fixture
def space():
    with Namespace() as found:
        yield found


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "all.yaml").write_text(OBJECTS)
    return folder


def birdctl(space: Namespace, *words: str) -> subprocess.CompletedProcess[str]:
    command = space.command(sys.executable, "-m", "birdctl", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def fed(space: Namespace, file: Path, *command: str) -> str:
    with file.open() as text:
        done = subprocess.run(space.command(*command), stdin=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", list(Mode))
def test_the_programs_take_the_rendered_files_and_nothing_is_left_to_do(
    space: Namespace, manifests: Path, tmp_path: Path, mode: Mode
) -> None:
    flags = ("--node=n1", "--run-router=false", "--run-firewall", "--manifests", str(manifests))
    done = birdctl(space, "render", *flags, "--output-dir", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    files = {path.name: path for path in (tmp_path / "out/n1").iterdir()}
    assert sorted(files) == ["ip6tables", "ipset", "iptables"]
    fed(space, files["ipset"], "ipset", "restore", "-!")
    for family in ("iptables", "ip6tables"):
        fed(space, files[family], f"{family}-{mode}-restore", "--test", "--noflush")
        fed(space, files[family], f"{family}-{mode}-restore", "--noflush")
    space.run(f"iptables-{mode} -t mangle -N KUBE-IPTABLES-HINT")
    assert birdctl(space, "plan", *flags).stdout == "n1: nothing to do, the kernel has these policies\n"


def test_one_file_can_be_printed(space: Namespace, manifests: Path) -> None:
    flags = ("--node=n1", "--run-router=false", "--run-firewall", "--manifests", str(manifests))
    assert birdctl(space, "render", *flags).stdout.startswith("create birdctl-")
    assert birdctl(space, "render", *flags, "--file", "ip6tables").stdout.startswith("*filter\n:BIRDCTL-")
    done = birdctl(space, "render", *flags, "--file", "bird.conf")
    assert done.returncode == 1
    switches = "--run-router, --run-firewall and --run-service-proxy"
    assert done.stderr == f"birdctl: --file: bird.conf is not rendered here: see {switches}\n"


@pytest.mark.parametrize("mode", list(Mode))
def test_doctor_tries_every_kind_of_rule_and_leaves_nothing(space: Namespace, tmp_path: Path, mode: Mode) -> None:
    space.run(f"iptables-{mode} -t mangle -N KUBE-IPTABLES-HINT")
    before = space.run("iptables-nft-save"), space.run("iptables-legacy-save")
    flags = ("--run-router=false", "--run-firewall", "--runtime-dir", str(tmp_path))
    found = json.loads(birdctl(space, "doctor", *flags, "-o", "json").stdout)["items"]
    results = {item["check"]: item for item in found}
    assert results["policy rules"]["result"] == "ok", results["policy rules"]
    assert str(mode) in results["iptables"]["found"]
    assert results["conntrack"]["result"] == "ok"
    assert "BIRD" not in results
    assert space.run("ipset list -n") == ""
    assert [text.count("BIRDCTL") for text in before] == [0, 0]
    assert "BIRDCTL" not in space.run("iptables-nft-save") + space.run("iptables-legacy-save")


def test_doctor_finds_a_bridge_that_policies_do_not_see(space: Namespace, tmp_path: Path) -> None:
    for line in ("link add cni0 type bridge", "link add pod type veth peer name inside", "link set pod master cni0"):
        space.run(f"ip {line}")
    space.run("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=1")
    flags = ("--run-router=false", "--run-firewall", "--runtime-dir", str(tmp_path))
    done = birdctl(space, "doctor", *flags, "-o", "json")
    results = {item["check"]: item for item in json.loads(done.stdout)["items"]}
    assert done.returncode == 1
    assert results["IPv4 bridge"]["result"] == "error"
    assert "no policy between pods on cni0" in results["IPv4 bridge"]["found"]
    assert results["IPv4 bridge"]["fix"] == "sysctl -w net.bridge.bridge-nf-call-iptables=1"
    assert results["IPv6 bridge"]["result"] == "ok"
