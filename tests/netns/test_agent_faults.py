"""What an agent does when things around it die, vanish or come back. Two nodes, real BIRDs, real agents."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from birdctl.reconcile.rollback import roll_back
from birdctl.routing.compile.reflectors import GRACE
from tests.agents import BOOTSTRAP, AgentNode, Manifests, converged, node
from tests.bird.daemon import Namespace
from tests.polling import eventually

Pair = tuple[AgentNode, AgentNode]


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    found = Manifests(tmp_path / "manifests")
    found.write(node("a", "192.0.2.1", "10.1.0.0/24"), node("b", "192.0.2.2", "10.2.0.0/24"))
    return found


@pytest.fixture
def nodes(manifests: Manifests) -> Iterator[Pair]:
    """Two nodes on one cable, nothing running yet. Each has an address of its pod network on loopback."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        spaces = [stack.enter_context(Namespace()) for _ in "ab"]
        spaces[0].link(spaces[1], "192.0.2.1/24", "192.0.2.2/24")
        for number, space in enumerate(spaces, 1):
            space.run(f"ip address add 10.{number}.0.1/32 dev lo")
        source = [f"--manifests={manifests.folder}"]
        a, b = (AgentNode(name, space, folder, source) for name, space in zip("ab", spaces, strict=True))
        stack.callback(a.close)
        stack.callback(b.close)
        yield a, b


@pytest.fixture
def running(nodes: Pair) -> Pair:
    """Both with BIRD and agent, their session Established and routes in the kernel."""
    for each in nodes:
        each.start_bird()
        each.start_agent()
    established(*nodes)
    return nodes


def established(a: AgentNode, b: AgentNode) -> None:
    converged(a, b)
    eventually(lambda: a.peers() == {"b": "Established"} and b.peers() == {"a": "Established"})
    eventually(lambda: "10.2.0.0/24" in a.routes() and "10.1.0.0/24" in b.routes())


def test_two_agents_make_a_session_and_routes_from_nothing_but_nodes(running: Pair) -> None:
    a, _ = running
    a.namespace.run("ping -c1 -W2 -I 10.1.0.1 10.2.0.1")


def test_an_agent_waits_for_a_bird_that_is_not_there_yet(nodes: Pair) -> None:
    a, _ = nodes
    a.start_agent()
    eventually(lambda: a.status().get("source", {}).get("synced"))
    assert "does not exist" in a.error()
    a.start_bird()
    converged(a)


def test_a_killed_agent_loses_no_session_no_route_and_no_packet(running: Pair) -> None:
    a, b = running
    before = {each: each.backend.sessions()[0].uptime for each in running}
    ping = subprocess.Popen(
        a.namespace.command("ping", "-q", "-i", "0.02", "-I", "10.1.0.1", "10.2.0.1"), stdout=subprocess.PIPE, text=True
    )
    a.kill_agent()
    assert "10.2.0.0/24" in a.routes()
    a.start_agent()
    converged(a)
    ping.send_signal(signal.SIGINT)
    said, _ = ping.communicate(timeout=10)
    assert " 0% packet loss" in said
    for each in running:
        assert each.backend.sessions()[0].uptime >= before[each]
    assert "10.1.0.0/24" in b.routes()
    assert a.status()["generation"] == 0


def test_an_agent_that_is_told_to_stop_leaves_everything_in_place(running: Pair) -> None:
    a, b = running
    assert a.kill_agent(signal.SIGTERM) == 0
    assert a.peers() == {"b": "Established"}
    assert "10.2.0.0/24" in a.routes()
    assert not (a.run / "agent.sock").exists()
    assert b.peers() == {"a": "Established"}


def test_a_bird_that_was_killed_and_comes_back_with_its_file_keeps_the_kernels_routes(
    running: Pair,
) -> None:
    a, b = running
    a.bird.kill()
    eventually(lambda: not a.status()["healthy"])
    assert "10.2.0.0/24" in a.routes()
    assert "10.1.0.0/24" in b.routes()
    a.start_bird("-R")
    established(a, b)


def test_a_bird_that_comes_back_with_another_configuration_is_configured_within_seconds(
    running: Pair,
) -> None:
    a, b = running
    a.bird.kill()
    a.bird.config.write_text(BOOTSTRAP)
    a.start_bird("-R")
    eventually(lambda: a.peers() == {"b": "Established"}, 15)
    established(a, b)


def test_a_configuration_changed_by_hand_is_put_right(running: Pair) -> None:
    a, b = running
    foreign = a.folder / "foreign.conf"
    foreign.write_text(BOOTSTRAP)
    assert not a.bird.request(f'configure "{foreign}"').failed
    eventually(lambda: "b" in a.peers())
    established(a, b)


def test_a_full_disk_changes_nothing_and_is_told_until_there_is_room(running: Pair, manifests: Manifests) -> None:
    a, b = running
    full = a.run / "history/staged/inventory.new"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    manifests.write(node("c", "192.0.2.3", "10.3.0.0/24"))
    eventually(lambda: "inventory.json: No space left on device" in a.error())
    assert a.peers() == {"b": "Established"}
    full.unlink()
    eventually(lambda: "c" in a.peers())
    assert a.peers()["b"] == "Established"
    converged(a, b)


def test_a_folder_that_vanishes_changes_nothing(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    shutil.rmtree(manifests.folder)
    eventually(lambda: "lastError" in a.status()["source"])
    assert a.peers() == {"b": "Established"}
    manifests.folder.mkdir()
    manifests.write(node("a", "192.0.2.1", "10.1.0.0/24"), node("b", "192.0.2.2", "10.3.0.0/24"))
    eventually(lambda: "10.3.0.0/24" in a.routes())


def test_an_own_node_that_is_missing_keeps_what_runs(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    manifests.remove("Node", "a")
    eventually(lambda: "Node a" in a.error())
    assert a.peers() == {"b": "Established"}
    assert "10.2.0.0/24" in a.routes()


def test_a_bad_object_is_told_once_and_the_rest_goes_on(running: Pair, manifests: Manifests) -> None:
    a, b = running
    bad = {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "BGPPeer",
        "metadata": {"name": "tor"},
        "spec": {"asn": 0, "address": "192.0.2.9"},
    }
    manifests.write(bad, node("c", "192.0.2.3", "10.9.0.0/24"))
    converged(a, b)
    assert "c" in a.peers()
    (problem,) = a.status()["problems"]
    assert "BGPPeer tor" in problem
    assert a.log.read_text().count("left out: ") == 1
    manifests.remove("BGPPeer", "tor")
    converged(a)
    assert a.status()["problems"] == []
    assert a.logged("no longer wrong: ")


def test_emptying_a_node_is_refused_with_numbers_until_it_is_forced(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    manifests.remove("Node", "b")
    eventually(lambda: "would remove 1 of 1 sessions" in a.error())
    assert a.peers() == {"b": "Established"}
    refused = a.birdctl("apply")
    assert refused.returncode == 1
    assert "would remove 1 of 1 sessions" in refused.stderr
    assert a.birdctl("apply", "--force").returncode == 0
    assert a.peers() == {}
    converged(a)


def test_a_rollback_lasts_until_the_objects_change(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    manifests.write(node("c", "192.0.2.3", "10.9.0.0/24"))
    converged(a)
    assert set(a.peers()) == {"b", "c"}
    roll_back(a.backend, a.run)
    eventually(lambda: "rolled back by hand" in a.error())
    assert set(a.peers()) == {"b"}
    manifests.write(node("d", "192.0.2.4", "10.8.0.0/24"))
    converged(a)
    assert set(a.peers()) == {"b", "c", "d"}


def test_what_was_written_before_a_sync_is_applied_when_it_answers(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    for number in range(10, 15):
        manifests.write(node(f"n{number}", f"192.0.2.{number}", f"10.{number}.0.0/24"))
        assert a.ask("sync")["converged"]
        assert f"n{number}" in a.peers()


def test_time_alone_replaces_a_reflector_that_stays_away(running: Pair, manifests: Manifests) -> None:
    a, _ = running
    configuration = {
        "apiVersion": "birdctl.io/v1alpha1",
        "kind": "BGPConfiguration",
        "metadata": {"name": "default"},
        "spec": {"topology": "RouteReflectors", "routeReflectors": {"count": 1}},
    }
    others = {name: node(name, f"192.0.2.{number}", f"10.{number}.0.0/24") for number, name in ((2, "b"), (3, "c"))}
    manifests.write(configuration, *others.values())
    converged(a)
    (first,) = a.peers()
    away = datetime.now(UTC) - timedelta(seconds=GRACE - 3)
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": away.strftime("%Y-%m-%dT%H:%M:%SZ")}
    others[first]["status"]["conditions"] = [ready]
    manifests.write(others[first])
    converged(a)
    assert set(a.peers()) == {first}
    eventually(lambda: set(a.peers()) == {"b", "c"} - {first})


def test_a_second_agent_takes_the_socket_of_one_that_died(running: Pair) -> None:
    a, _ = running
    a.kill_agent()
    assert (a.run / "agent.sock").exists()
    a.start_agent()
    converged(a)
    assert (a.run / "agent.sock").stat().st_mode & 0o777 == 0o600
