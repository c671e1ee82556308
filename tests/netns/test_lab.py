"""`birdctl lab`: what a node is, and that nothing of a lab is left, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.errors import BackendError, InputError, Unavailable
from birdctl.lab import lab, node, record
from birdctl.lab.topology import Topology, load
from tests.polling import eventually

BIRDCTL = (sys.executable, "-m", "birdctl")


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def topology(folder: Path, nodes: str, name: str = "") -> Topology:
    """A lab of this test run's own name, made of these lines of `topology.nodes`."""
    file = folder / f"{name or 'lab'}.clab.yml"
    indented = "".join(f"    {line}\n" for line in nodes.strip().splitlines())
    links = '  links: [{endpoints: ["a:eth1", "b:eth1"]}]\n' if "\n    b:" in f"\n{indented}" else ""
    file.write_text(
        f"name: {name or 'lab'}-{os.getpid()}\ntopology:\n  defaults: {{kind: linux}}\n  nodes:\n{indented}{links}"
    )
    return load(file)


@pytest.fixture
def up(tmp_path: Path, runtime_dir: Path) -> Iterator[object]:
    """Brings labs up, says what they printed, and takes them down."""
    made: list[Topology] = []

    def bring_up(nodes: str, name: str = "") -> tuple[Topology, list[str]]:
        made.append(topology(tmp_path, nodes, name))
        said: list[str] = []
        lab.up(made[-1], runtime_dir, said.append)
        return made[-1], said

    yield bring_up
    for each in made:
        lab.down(each.name, runtime_dir)


def run(of: Topology, name: str, *command: str, runtime_dir: Path) -> str:
    each = next(each for each in of.nodes if each.name == name)
    entering = node.entering(record.places(of.name, [name], runtime_dir)[name], each, command)
    return subprocess.run(entering, capture_output=True, text=True, check=True).stdout.strip()


def remains(of: Topology, runtime_dir: Path) -> list[str]:
    """What is left on the machine of a lab."""
    places = record.places(of.name, [each.name for each in of.nodes], runtime_dir).values()
    found = [str(pid) for place in places for pid in record.processes(place)]
    found += [place.netns for place in places if place.namespace.exists()]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if of.name in line]
    home = record.folder(of.name, runtime_dir)
    return found + ([str(home)] if home.exists() else [])


def test_nodes_are_linked_and_have_names_of_their_own(up, runtime_dir: Path) -> None:
    of, said = up("a: {exec: [ip address add 10.0.0.1/24 dev eth1]}\nb: {exec: [ip address add 10.0.0.2/24 dev eth1]}")
    assert said == []
    assert run(of, "a", "hostname", runtime_dir=runtime_dir) == "a"
    assert "1 received" in run(of, "a", "ping", "-c", "1", "-W", "1", "10.0.0.2", runtime_dir=runtime_dir)
    links = run(of, "a", "ip", "-br", "link", runtime_dir=runtime_dir)
    assert {line.split("@")[0].split()[0] for line in links.splitlines()} == {"lo", "eth1"}


def test_a_node_has_its_environment_and_sysctls_and_nothing_of_the_callers(up, runtime_dir: Path, monkeypatch) -> None:
    monkeypatch.setenv("OUTSIDE", "seen")
    of, _ = up("a: {env: {WORD: two words}, sysctls: {net.ipv4.ip_forward: 1}}")
    environment = run(of, "a", "env", runtime_dir=runtime_dir)
    assert "WORD=two words" in environment
    assert "OUTSIDE" not in environment
    assert run(of, "a", "cat", "/proc/sys/net/ipv4/ip_forward", runtime_dir=runtime_dir) == "1"


def test_a_node_sees_only_its_own_processes(up, runtime_dir: Path) -> None:
    of, _ = up("a: {cmd: sleep 1000}")
    both = ["sleep 1000", "sleep infinity"]
    eventually(
        lambda: sorted(run(of, "a", "ps", "-C", "sleep", "-o", "args=", runtime_dir=runtime_dir).splitlines()) == both
    )


def test_what_the_main_command_prints_is_kept(up, runtime_dir: Path) -> None:
    of, _ = up("a: {cmd: \"sh -c 'echo started; exec sleep 1000'\"}")
    log = record.folder(of.name, runtime_dir) / "a" / "cmd.log"
    eventually(lambda: log.read_text() == "started\n")


def test_a_command_that_fails_is_said_and_the_others_still_run(up) -> None:
    _, said = up("a: {exec: [\"sh -c 'echo oops; exit 3'\", echo fine]}")
    assert said == ["a: oops", "a: sh -c echo oops; exit 3: exit code 3", "a: fine"]


def test_a_node_cannot_change_the_machines_files_and_has_run_and_tmp_of_its_own(up) -> None:
    script = "touch /run/mine /tmp/mine /var/tmp/mine /etc/bird/mine; ! touch /usr/mine /etc/mine /home/mine"
    _, said = up(f"a: {{exec: [\"sh -c '({script}) 2> /dev/null'\"]}}")
    assert said == []
    assert not [path for path in ("/run/mine", "/tmp/mine", "/etc/bird/mine", "/usr/mine") if Path(path).exists()]


def test_binds_are_seen_where_they_are_wanted_also_where_the_machine_has_no_such_folder(
    up, tmp_path: Path, runtime_dir: Path
) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    of, said = up(
        "a: {binds: [file:/etc/absent/deeper/file:ro, folder:/shared, /own], "
        "exec: [\"sh -c 'echo new > /shared/new; ! echo > /etc/absent/deeper/file 2> /dev/null; touch /own/x'\"]}"
    )
    assert run(of, "a", "cat", "/etc/absent/deeper/file", runtime_dir=runtime_dir) == "content"
    assert run(of, "a", "test", "-e", "/etc/passwd", runtime_dir=runtime_dir) == ""
    assert (tmp_path / "folder" / "new").read_text() == "new\n"
    assert not Path("/etc/absent").exists()
    assert not [line for line in said if "new" in line]


def test_the_nodes_sockets_are_reachable_from_outside(up, runtime_dir: Path) -> None:
    of, _ = up("a: {exec: [mkdir -p /run/birdctl /run/bird, touch /run/birdctl/agent.sock /run/bird/bird.ctl]}")
    (place,) = record.nodes(of.name, runtime_dir)
    assert (place.runtime_dir / "agent.sock").exists()
    assert place.bird_socket.exists()
    assert place.netns == f"clab-{of.name}-a"


def test_nothing_is_left_after_down_not_even_of_a_pod_or_a_daemon(up, runtime_dir: Path) -> None:
    of, _ = up("a: {exec: [ip netns add pod, ip netns exec pod setsid -f sleep 1000], cmd: sleep 1000}\nb: {}")
    assert remains(of, runtime_dir)
    assert lab.down(of.name, runtime_dir)
    assert remains(of, runtime_dir) == []
    assert not lab.down(of.name, runtime_dir)


def test_a_second_up_is_refused_and_leaves_the_first_alone(up, runtime_dir: Path) -> None:
    of, _ = up("a: {}")
    with pytest.raises(BackendError, match=r"is up already.*birdctl lab down"):
        lab.up(of, runtime_dir)
    assert run(of, "a", "hostname", runtime_dir=runtime_dir) == "a"


def test_two_labs_of_one_topology_stand_side_by_side(up, runtime_dir: Path) -> None:
    one, _ = up("a: {}", "one")
    two, _ = up("a: {}", "two")
    assert set(record.labs(runtime_dir)) == {one.name, two.name}
    lab.down(one.name, runtime_dir)
    assert remains(one, runtime_dir) == []
    assert run(two, "a", "hostname", runtime_dir=runtime_dir) == "a"


def test_nothing_is_left_of_an_up_that_fails_halfway(up, tmp_path: Path, runtime_dir: Path) -> None:
    text = "b: {}\na: {sysctls: {net.ipv4.no_such_thing: 1}}"
    with pytest.raises(BackendError, match=r"node a cannot start.*no_such_thing"):
        up(text)
    assert remains(topology(tmp_path, text), runtime_dir) == []


def test_down_removes_what_an_up_that_was_killed_halfway_left(tmp_path: Path, runtime_dir: Path) -> None:
    of = topology(tmp_path, "a: {exec: [touch /run/reached, sleep 1000]}\nb: {}")
    command = [*BIRDCTL, "--runtime-dir", str(runtime_dir), "lab", "up", str(of.file)]
    process = subprocess.Popen(command, start_new_session=True)
    eventually((record.folder(of.name, runtime_dir) / "a" / "run" / "reached").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert remains(of, runtime_dir)
    assert lab.down(of.name, runtime_dir)
    assert remains(of, runtime_dir) == []


def test_a_node_whose_first_process_was_killed_is_not_running_and_is_removed(up, runtime_dir: Path) -> None:
    of, _ = up("a: {cmd: sleep 1000}")
    (place,) = record.nodes(of.name, runtime_dir)
    first = record.holder(place)
    assert first
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not list(record.processes(place)))
    with pytest.raises(Unavailable, match="node a is not running"):
        lab.execute(of, "a", ["true"], runtime_dir)
    lab.down(of.name, runtime_dir)
    assert remains(of, runtime_dir) == []


def test_down_after_the_machine_restarted_removes_the_record(up, runtime_dir: Path) -> None:
    of, _ = up("a: {}")
    (place,) = record.nodes(of.name, runtime_dir)
    node.stop(place)  # a restart keeps neither processes nor namespaces
    assert lab.down(of.name, runtime_dir)
    assert remains(of, runtime_dir) == []


def test_a_namespace_of_somebody_else_is_neither_used_nor_removed(up) -> None:
    name = f"clab-lab-{os.getpid()}-a"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with pytest.raises(BackendError, match="already, of something else"):
            up("a: {}")
        assert Path("/run/netns", name).exists()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_exec_returns_the_commands_exit_code_and_names_the_nodes_there_are(up, runtime_dir: Path) -> None:
    of, _ = up("a: {}\nb: {}")
    assert lab.execute(of, "a", ["sh", "-c", "exit 3"], runtime_dir) == 3
    with pytest.raises(InputError, match="there is no node 'c'; there are a, b"):
        lab.execute(of, "c", ["true"], runtime_dir)


def test_the_command_line_brings_up_lists_runs_in_and_takes_down(tmp_path: Path, runtime_dir: Path) -> None:
    of = topology(tmp_path, "a: {}")

    def birdctl(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BIRDCTL, "--runtime-dir", str(runtime_dir), "lab", *words], capture_output=True, text=True, check=False
        )

    assert f"lab {of.name} is up" in birdctl("up", str(of.file)).stdout
    assert f"{of.name}   1/1" in birdctl("list").stdout
    assert birdctl("up", str(of.file)).returncode == 1
    assert birdctl("exec", str(of.file), "a", "--", "hostname").stdout == "a\n"
    assert birdctl("exec", str(of.file), "a", "--", "sh", "-c", "exit 5").returncode == 5
    assert birdctl("down", str(of.file)).returncode == 0
    assert remains(of, runtime_dir) == []


def test_nodes_of_a_lab_that_is_not_up_cannot_be_named(runtime_dir: Path) -> None:
    with pytest.raises(InputError, match="lab absent: is not up; there are none"):
        record.nodes("absent", runtime_dir)
