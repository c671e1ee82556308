"""containerlab/md5-bfd: a router that asks for a password and speaks BFD."""

from __future__ import annotations

from tests.labs import Lab
from tests.polling import eventually

SCENARIO = "md5-bfd"
NODES = ("node1", "node2")
PASSWORD = "lab-password"
OUTSIDE = "198.51.100.0/24"


def test_sessions_with_a_password_are_established_and_bfd_is_up(lab: Lab) -> None:
    for node in NODES:
        peer = eventually(lambda: _with_bfd(lab, node))  # noqa: B023 - called here
        assert (peer["state"], peer["type"], peer["remoteAs"]) == ("Established", "external", 65020)
    sessions = lab.show("bfd", "--node", "node1")
    assert [(session["address"], session["state"]) for session in sessions] == [("172.31.0.254", "up")]


def _with_bfd(lab: Lab, node: str) -> dict[str, object] | None:
    peer = lab.peers(node)[node, "router"]
    return peer if peer.get("bfd") == "up" else None


def test_the_session_really_is_authenticated(lab: Lab) -> None:
    captured = lab.start("router", "timeout", "10", "tcpdump", "-nnvi", "eth1", "-c", "1", "tcp port 179")
    assert captured.stdout
    assert "listening" in captured.stdout.readline()
    lab.run("router", "birdc", "-s", "/run/bird/bird.ctl", "reload", "out", "node1")
    assert "md5" in captured.communicate(timeout=15)[0]


def test_tables_on_both_sides_and_the_kernel_have_the_routes(lab: Lab) -> None:
    assert lab.table("router") >= {"10.244.1.0/24", "10.244.2.0/24"}
    for node in NODES:
        assert lab.kernel(node)[OUTSIDE] == {"172.31.0.254"}


def test_packets_travel_between_pods_and_the_router(lab: Lab) -> None:
    assert lab.pings("node1", "10.244.2.2")
    assert lab.pings("node1", "198.51.100.1")
    assert eventually(lambda: lab.fetch("router", "10.244.1.2", pod=False)) == "node1"


def test_the_password_is_shown_nowhere(lab: Lab) -> None:
    shown = [lab.birdctl("show", "config", "--lab", lab.name, "--node", "node1").stdout]
    shown += [lab.run("node1", "cat", "/run/birdctl/agent.log")]
    shown += [path.read_text() for path in lab.places["node1"].runtime_dir.rglob("*.json")]
    assert all(shown)
    assert not any(PASSWORD in text for text in shown)


def test_bfd_ends_the_session_long_before_the_hold_time_when_the_router_freezes(lab: Lab) -> None:
    assert lab.peers("node1")["node1", "router"]["holdTimeSeconds"] >= 60
    (bird,) = lab.pids("router", "bird")
    lab.run("router", "kill", "-STOP", bird)
    eventually(lambda: OUTSIDE not in lab.kernel("node1"))
    assert lab.state("node1", "router") != "Established"
    lab.run("router", "kill", "-CONT", bird)
    eventually(lambda: lab.kernel("node1").get(OUTSIDE) == {"172.31.0.254"})


def test_a_password_the_router_does_not_have_ends_the_session_and_the_right_one_brings_it_back(lab: Lab) -> None:
    lab.rewrite("bgp.yaml", lambda text: text.replace(PASSWORD, "another-password"))
    eventually(lambda: lab.state("node1", "router") != "Established")
    lab.rewrite("bgp.yaml", lambda text: text.replace("another-password", PASSWORD))
    eventually(lambda: lab.state("node1", "router") == "Established")


def test_a_missing_secret_is_an_error_and_no_session(lab: Lab) -> None:
    lab.rewrite("bgp.yaml", lambda text: text.replace("key: router", "key: absent"))
    eventually(lambda: ("node1", "router") not in lab.peers("node1"))
    assert "absent" in lab.run("node1", "cat", "/run/birdctl/agent.log")
    lab.rewrite("bgp.yaml", lambda text: text.replace("key: absent", "key: router"))
    eventually(lambda: lab.state("node1", "router") == "Established")
