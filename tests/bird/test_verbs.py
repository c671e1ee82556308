"""render, plan, apply, history, rollback, wait and agent, as a person calls them on a node with a real BIRD."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.birds import BirdProgram
from tests.polling import eventually
from tests.routers import Router, routers

BOOTSTRAP = Path(__file__).parents[2].joinpath("birdctl/bird-templates/bootstrap.conf").read_text()


class Node:
    """n1 of a cluster of manifests, with BIRD as it is before the first commit."""

    def __init__(self, router: Router, manifests: Path) -> None:
        self.router = router
        self.manifests = manifests
        self.write("n1", "10.0.0.1", "10.1.1.0/24")
        self.write("n2", "10.0.0.2", "10.1.2.0/24")

    def write(self, name: str, address: str, pods: str, **annotations: str) -> None:
        """A Node object, put into the folder whole."""
        document = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"podCIDRs": [pods]},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }
        new = self.manifests / f"{name}.new"
        new.write_text(json.dumps(document))
        new.replace(self.manifests / f"{name}.json")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "NODE_NAME": "n1",
            "BIRDCTL_MANIFESTS": str(self.manifests),
            "BIRDCTL_RUNTIME_DIR": str(self.router.folder / "run"),
            "BIRDCTL_BIRD_SOCKET": str(self.router.socket),
            "BIRDCTL_BIRD_CONFIG": str(self.router.daemon.config),
            "BIRDCTL_METRICS_PORT": "0",
            "BIRDCTL_HEALTH_PORT": "0",
        }

    def command(self, *words: str) -> list[str]:
        return self.router.space.command(sys.executable, "-m", "birdctl", *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def says(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, done
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.says(*words, "-o", "json"))


@pytest.fixture
def node(bird_version: BirdProgram, tmp_path: Path) -> Iterator[Node]:
    with routers(bird_version) as (router,):
        router.run("ip", "link", "add", "uplink", "type", "veth", "peer", "other")
        router.run("ip", "link", "set", "uplink", "up")
        router.address("uplink", "10.0.0.1/24")
        router.start(BOOTSTRAP)
        yield Node(router, tmp_path)


def test_plan_then_apply_then_nothing_to_do(node: Node) -> None:
    planned = node.says("plan")
    assert "new: n2" in planned
    assert "announced: 10.1.1.0/24" in planned
    assert node.run("plan", "--exit-code").returncode == 4
    assert node.router.sessions() == {}, "a plan writes nothing"
    applied = node.says("apply")
    assert applied.startswith(planned)
    assert list(node.router.sessions()) == ["node_n2"]
    assert node.says("plan", "--exit-code").startswith("n1: nothing to do")
    assert node.json("plan")["changes"] is False
    assert node.says("apply").startswith("n1: nothing to do")


def test_a_plan_as_json_names_every_session_s_fate(node: Node) -> None:
    node.says("apply")
    node.write("n3", "10.0.0.3", "10.1.3.0/24")
    plan = node.json("plan")
    assert (plan["kind"], plan["node"], plan["changes"]) == ("Plan", "n1", True)
    assert {each["peer"]: each["effect"] for each in plan["sessions"]} == {"n2": "nothing", "n3": "new"}


def test_an_object_that_is_left_out_is_said_and_the_rest_is_done(node: Node) -> None:
    node.write("n3", "nonsense", "10.1.3.0/24")
    done = node.run("apply")
    assert done.returncode == 2
    assert "birdctl: Node n3: status.addresses[0].address: " in done.stderr
    assert list(node.router.sessions()) == ["node_n2"]


def test_history_and_rollback(node: Node) -> None:
    node.says("apply")
    node.write("n1", "10.0.0.1", "10.7.1.0/24")
    node.says("apply")
    headers, newest, oldest = node.says("history").splitlines()
    assert headers.split() == ["NUMBER", "RUNNING", "DIGEST", "SESSIONS", "AGE"]
    assert newest.split()[:2] == ["2", "*"]
    assert oldest.split()[:2] == ["1", "-"]
    before = node.json("history")["items"]
    assert [each["running"] for each in before] == [True, False]
    rolled = node.says("rollback", "--to", "1")
    assert before[1]["digest"] in rolled
    assert node.json("show", "advertisements")["items"][0]["prefix"] == "10.1.1.0/24"
    assert len(node.says("history", "-o", "wide", "--no-headers").splitlines()) == 2
    node.says("rollback")
    assert node.json("show", "advertisements")["items"][0]["prefix"] == "10.7.1.0/24"


def test_without_an_earlier_configuration_there_is_no_rollback(node: Node) -> None:
    done = node.run("rollback")
    assert (done.returncode, done.stderr) == (1, "birdctl: there is no earlier configuration to go back to\n")


def test_a_plan_that_refuses_itself_needs_force(node: Node) -> None:
    node.says("apply")
    node.write("n1", "10.0.0.1", "")
    refused = node.run("apply")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("birdctl: refused: ")
    assert "1 of 1 prefixes" in refused.stderr
    assert node.json("show", "advertisements")["items"] != []
    forced = node.run("apply", "--force")
    assert forced.returncode in (0, 2)
    assert node.json("show", "advertisements")["items"] == []


def test_rendering_needs_no_bird_and_gives_the_same_bytes(node: Node, tmp_path: Path) -> None:
    node.router.kill()
    folder = tmp_path / "out"
    for _ in range(2):
        node.says("render", "--all-nodes", "--output-dir", str(folder), "--bird-version", "2.17.5")
        text = (folder / "n1" / "bird.conf").read_text()
        assert node.says("render", "--bird-version", "2.17.5") == text
    assert sorted(path.parent.name for path in folder.rglob("bird.conf")) == ["n1", "n2"]
    assert (folder / "n1" / "bird.conf").stat().st_mode & 0o777 == 0o600
    assert node.router.bird.check(node.says("render", "--bird-version", str(node.router.bird))) == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--all-nodes"], "birdctl: --all-nodes: needs --output-dir DIR"),
        (["--node", "n9"], "birdctl: --node: there is no Node n9; there are n1,n2"),
        (["--bird-version", "1.6"], "birdctl render: argument --bird-version: '1.6' is not a version of BIRD"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_one_line(words: list[str], message: str, node: Node) -> None:
    done = node.run("render", *words)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith(message)


def test_the_agent_is_waited_for_and_takes_in_what_was_written_before(node: Node) -> None:
    assert node.run("wait", "--timeout", "50ms").returncode == 1
    with subprocess.Popen(node.command("agent"), env=node.environment, stderr=subprocess.PIPE, text=True) as agent:
        try:
            node.says("wait", "--timeout", "20s")
            for number in (5, 6, 7):
                node.write("n1", "10.0.0.1", f"10.{number}.1.0/24")
                node.says("wait", "--for", "converged", "--timeout", "20s")
                prefixes = [item["prefix"] for item in node.json("show", "advertisements")["items"]]
                assert prefixes == [f"10.{number}.1.0/24"]
            done = node.run("wait", "--for", "established", "--timeout", "300ms")
            assert done.returncode == 1
            assert done.stderr == "birdctl: not established within 300ms: n1: not Established: n2\n"
            status = node.json("show", "status")
            assert (status["converged"], status["source"]["kind"]) == (True, "manifests")
            headers, row = node.says("show", "status").splitlines()
            assert headers.split() == ["NODE", "CONVERGED", "HEALTHY", "BIRD", "UPTIME", "SOURCE", "SYNCED", "ERROR"]
            assert row.split()[:4] == ["n1", "true", "false", str(node.router.bird)]
            nodes = {item["node"]: item for item in node.json("show", "nodes")["items"]}
            assert nodes["n1"]["sessions"] == {"established": 0, "configured": 1}
            assert nodes["n2"]["podCIDRs"] == ["10.1.2.0/24"]
        finally:
            agent.send_signal(signal.SIGTERM)
        _, said = agent.communicate(timeout=10)
    assert agent.returncode == 0
    assert "Traceback" not in said
    eventually(lambda: list(node.router.sessions()) == ["node_n2"])


def test_a_wrong_setting_is_one_line_before_anything_starts(node: Node) -> None:
    done = node.run("agent", "--cluster-asn", "x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("birdctl: --cluster-asn: 'x' is not an integer")
