"""`explain policy`, by the objects and by the rules in a real kernel; and what happens when the two differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdctl.netfilter.iptables import Mode
from tests.netns.policies.scene import Scene, scene

QUESTIONS = [
    ("red/client red/web http", True, ["NetworkPolicy red/web"]),
    ("red/client red/web 80/tcp", True, ["NetworkPolicy red/web"]),
    ("red/client red/web 81", False, ["NetworkPolicy red/web"]),
    ("red/client red/web 80/UDP", False, ["NetworkPolicy red/web"]),
    ("red/db red/web 80", False, ["NetworkPolicy red/web"]),
    ("10.9.3.2 10.9.1.2 80", True, ["NetworkPolicy red/web"]),
    ("203.0.113.1 red/web 80", False, ["NetworkPolicy red/web"]),
    ("node:n1 red/web 81", True, []),
    ("node:n2 red/web 81", False, ["NetworkPolicy red/web"]),
    ("red/web node:n1 22", True, []),
    ("10.9.2.1 red/web 81", True, []),
    ("red/web 10.9.2.1 22", True, []),
    ("red/web red/db 5432", True, []),
    ("red/web 198.51.100.7 443", False, ["ClusterNetworkPolicy guard"]),
    ("red/web 203.0.113.1 443", True, []),
]


@pytest.fixture(scope="module", params=[str(mode) for mode in Mode])
def node(request, tmp_path_factory):
    with scene(tmp_path_factory.mktemp("scene"), request.param) as found:
        yield found


def mode(node: Scene) -> str:
    """In which the agent writes."""
    return "legacy" if "BIRDCTL-POLICY" in node.kernel.node.run("iptables-legacy-save") else "nft"


def explained(node: Scene, question: str, code: int = 0):
    found = node.document("explain", "policy", *question.split(), *node.source, code=code)
    return found["items"] if found["kind"].endswith("List") else [found]


@pytest.mark.parametrize(("question", "allowed", "policies"), QUESTIONS)
def test_objects_and_kernel_give_the_same_answer(
    node: Scene, question: str, allowed: bool, policies: list[str]
) -> None:
    for item in explained(node, question):
        assert item["allowed"] is allowed
        assert item.get("policies", []) == policies
        assert item["agrees"] is True


def test_both_families_are_explained(node: Scene) -> None:
    found = explained(node, "red/client red/web 80")
    assert [item["destinationAddress"] for item in found] == ["10.9.1.2", "fd00:9:1::2"]


def test_a_staged_policy_says_what_it_would_deny(node: Scene) -> None:
    (found,) = explained(node, "red/web red/db 80")
    assert found["allowed"] is True
    assert found["wouldDeny"] == ["NetworkPolicy red/quiet"]
    assert any("would-deny NetworkPolicy red/quiet" in step["text"] for step in found["steps"])


def test_the_steps_lead_from_the_policies_to_the_rule(node: Scene) -> None:
    lines = node.birdctl("explain", "policy", "10.9.3.2", "red/web", "80", *node.source).stdout.splitlines()
    assert lines[0] == "10.9.3.2 (red/client) to red/web (10.9.1.2), TCP port 80: allowed"
    text = " ".join(" ".join(lines).split())
    assert "ingress yes NetworkPolicy red/web: ingress rule 1 allows it" in text
    assert "rules on n1 - allow NetworkPolicy red/web: -d 10.9.1.2/32 -p tcp -m tcp --dport 80 -m set" in text


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("red/nobody red/web 80", "SRC: there is no red/nobody"),
        ("red/web node:n9 80", "DST: there is no node:n9"),
        ("red/web somewhere 80", "DST: 'somewhere' is neither NAMESPACE/POD, node:NAME nor an address"),
        ("red/web red/db nothing", "PORT: 'nothing' is neither 1 to 65535 nor a TCP port of red/db"),
        ("red/web red/db 80/ICMP", "PORT: expected TCP, UDP, SCTP behind the slash, got 'ICMP'"),
        ("fd00::1 red/db 80", "DST: red/db has no address of the same family as fd00::1"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(node: Scene, question: str, message: str) -> None:
    done = node.birdctl("explain", "policy", *question.split(), *node.source)
    assert done.returncode == 1
    assert done.stderr == f"birdctl: {message}\n"


def test_from_elsewhere_the_objects_alone_answer(node: Scene, tmp_path: Path) -> None:
    words = ("explain", "policy", "red/client", "red/web", "81", *node.source, "--runtime-dir", str(tmp_path))
    found = node.document(*words)
    assert [item["allowed"] for item in found["items"]] == [False, False]
    assert not any("agrees" in item for item in found["items"])


def test_another_nodes_rules_are_not_looked_for_here(node: Scene) -> None:
    found = explained(node, "10.9.3.2 red/web 80 --node n2")[0]
    told = [step["text"] for step in found["steps"] if step["subject"] == "rules on n2"]
    assert told == ["not looked at: ask on that node, or with --lab"]


def test_rules_that_somebody_changed_are_found_out(node: Scene) -> None:
    node.kernel.node.run(f"iptables-{mode(node)} -F BIRDCTL-IN")
    found = explained(node, "10.9.2.2 red/web 80", code=1)
    assert found[0]["agrees"] is False
    done = node.birdctl("explain", "policy", "10.9.2.2", "red/web", "80", *node.source)
    assert "DISAGREE with the objects, which refuse it here" in done.stdout
    assert "disagree with the objects" in done.stderr
    done = node.birdctl("apply", "--node=n1", "--run-router=false", "--run-firewall", *node.source)
    assert done.returncode == 0, done.stderr
    assert explained(node, "10.9.2.2 red/web 80")[0]["agrees"] is True


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("FORWARD {} -p tcp --dport 81 -j ACCEPT", "DISAGREE: birdctl's are not the first rules of FORWARD"),
        ("BIRDCTL-IN {} -m mark --mark 1 -j RETURN", "not what birdctl wrote: a match that birdctl does not write"),
        ("BIRDCTL-POLICY {} -j RETURN", "DISAGREE with the objects, which refuse it here"),
    ],
)
def test_rules_of_others_before_ours_or_among_them_are_found_out(node: Scene, rule: str, found: str) -> None:
    node.kernel.node.run(f"iptables-{mode(node)} -I {rule.format(1)}")
    try:
        (item,) = explained(node, "10.9.3.2 red/web 81", code=1)
    finally:
        node.kernel.node.run(f"iptables-{mode(node)} -D {rule.format('')}")
    assert (item["allowed"], item["agrees"]) == (False, False)
    assert any(step["text"].startswith(found) for step in item["steps"])
    assert explained(node, "10.9.3.2 red/web 81")[0]["agrees"] is True


def test_the_plan_names_what_the_kernel_lacks(node: Scene) -> None:
    flags = ("--node=n1", "--run-router=false", "--run-firewall", "--exit-code", *node.source)
    assert node.birdctl("plan", *flags).stdout == "n1: nothing to do, the kernel has these policies\n"
    node.kernel.node.run(f"iptables-{mode(node)} -F BIRDCTL-IN")
    found = node.document("plan", *flags, code=4)
    assert "NetworkPolicy red/web" in found["policies"]["added"] + found["policies"]["changed"]
    assert "IPv4 BIRDCTL-IN" in found["chains"]["changed"]
