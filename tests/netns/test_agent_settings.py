"""Settings of a running agent: a mounted file that changes, SIGHUP, HTTP, and the log."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents import AgentNode, Manifests, converged, node
from tests.bird.daemon import Namespace
from tests.polling import eventually


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A file as a ConfigMap is mounted: a link to a folder that is swapped."""
    first = tmp_path / "..1"
    first.mkdir()
    (first / "config.yaml").write_text("cluster-asn: 64512\n")
    (tmp_path / "..data").symlink_to(first)
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    return tmp_path / "config.yaml"


def swap(settings: Path, text: str) -> None:
    """A new version of the ConfigMap."""
    newer = settings.parent / "..2"
    newer.mkdir()
    (newer / "config.yaml").write_text(text)
    (settings.parent / "..new").symlink_to(newer)
    (settings.parent / "..new").replace(settings.parent / "..data")


@pytest.fixture
def agent(tmp_path: Path, settings: Path) -> Iterator[AgentNode]:
    """Node `a` of a cluster of two; `b` is never there."""
    manifests = Manifests(tmp_path / "manifests")
    manifests.write(node("a", "192.0.2.1", "10.1.0.0/24"), node("b", "192.0.2.2", "10.2.0.0/24"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-")))
        space = stack.enter_context(Namespace())
        found = AgentNode("a", space, folder, [f"--manifests={manifests.folder}", f"--config={settings}"])
        stack.callback(found.close)
        found.start_bird()
        yield found


def get(agent: AgentNode, address: str, path: str) -> tuple[int, str]:
    """Status and body."""
    said = agent.namespace.run(f"curl -s -m 5 -w \\n%{{http_code}} http://{address}{path}")
    body, _, status = said.rpartition("\n")
    return int(status), body


def test_a_configmap_that_changes_is_taken_over_live(agent: AgentNode, settings: Path) -> None:
    agent.start_agent()
    converged(agent)
    assert agent.backend.sessions()[0].local_asn == 64512
    swap(settings, "cluster-asn: 64513\n")
    eventually(lambda: agent.backend.sessions()[0].local_asn == 64513)


def test_a_setting_that_needs_a_restart_says_so(agent: AgentNode, settings: Path) -> None:
    agent.start_agent()
    converged(agent)
    swap(settings, "cluster-asn: 64512\nmetrics-port: 9999\n")
    eventually(lambda: agent.logged("--metrics-port has changed: it takes effect when the agent restarts"))
    converged(agent)


def test_settings_that_cannot_be_understood_leave_the_old_ones(agent: AgentNode, settings: Path) -> None:
    agent.start_agent()
    converged(agent)
    swap(settings, "cluster-asn: none\n")
    eventually(lambda: agent.logged("the settings stay as they are"))
    assert agent.backend.sessions()[0].local_asn == 64512


def test_a_hangup_signal_reads_the_settings_again(agent: AgentNode, settings: Path) -> None:
    agent.start_agent()
    converged(agent)
    agent.send_signal(signal.SIGHUP)
    eventually(lambda: agent.logged("settings read again"))
    converged(agent)
    assert settings.exists()


def test_probes_say_what_is_wrong(agent: AgentNode) -> None:
    agent.start_agent()
    converged(agent)
    eventually(lambda: get(agent, "127.0.0.1:20244", "/livez") == (200, "ok\n"))
    assert get(agent, "[::1]:20244", "/healthz") == (200, "ok\n")
    assert get(agent, "127.0.0.1:20244", "/readyz") == (503, "0 of 1 sessions carry their routes\n")
    assert get(agent, "127.0.0.1:20244", "/metrics")[0] == 404
    agent.bird.kill()
    eventually(lambda: get(agent, "127.0.0.1:20244", "/healthz")[0] == 503)
    assert get(agent, "127.0.0.1:20244", "/livez") == (200, "ok\n")


def test_probes_are_answered_before_there_is_a_bird(agent: AgentNode) -> None:
    agent.bird.kill()
    agent.start_agent()
    eventually(lambda: agent.status().get("source", {}).get("synced"))
    eventually(lambda: get(agent, "127.0.0.1:20244", "/livez") == (200, "ok\n"))
    assert get(agent, "127.0.0.1:20244", "/readyz")[0] == 503


def test_metrics_tell_sessions_passes_and_reaction_time(agent: AgentNode) -> None:
    agent.start_agent()
    converged(agent)
    eventually(lambda: get(agent, "127.0.0.1:20241", "/metrics")[0] == 200)
    text = get(agent, "127.0.0.1:20241", "/metrics")[1]
    values = dict(re.findall(r"^(birdctl_\S+) (\S+)$", text, re.MULTILINE))
    assert values["birdctl_bird_up"] == "1.0"
    assert values["birdctl_converged"] == "1.0"
    assert values['birdctl_passes_total{result="changed"}'] == "1.0"
    assert sum(float(values[name]) for name in values if name.startswith("birdctl_sessions{")) == 1
    assert float(values["birdctl_reaction_seconds_count"]) >= 1


def test_the_log_as_json_is_one_object_a_line(agent: AgentNode) -> None:
    agent.start_agent("--log-format=json")
    converged(agent)
    lines = [json.loads(line) for line in agent.log.read_text().splitlines()]
    assert {"time", "level", "message", "logger"} <= lines[0].keys()
    assert any("new: b" in each["message"] for each in lines)
