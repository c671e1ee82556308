"""`show policies`: what the agent knows, joined with what the kernel's rules counted of real connections."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from birdctl.cli.places import Place
from birdctl.cli.show.policies import read
from birdctl.netfilter.iptables import Mode
from tests.netns.policies.scene import Scene, scene


@pytest.fixture(scope="module", params=[str(mode) for mode in Mode])
def node(request, tmp_path_factory):
    with scene(tmp_path_factory.mktemp("scene"), request.param) as found:
        yield found


@pytest.fixture
def lab_node(tmp_path):
    """A node of a lab as far as its network namespace, with a policy's chain."""
    name = f"birdctl-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (
            "-N BIRDCTL-IN",
            '-A BIRDCTL-IN -m comment --comment "birdctl:0123 allow NetworkPolicy a/b" -j RETURN',
        ):
            command = ["ip", "netns", "exec", name, "iptables-nft", *shlex.split(words)]
            subprocess.run(command, check=True)
        yield Place(node="n7", runtime_dir=tmp_path, bird_socket=tmp_path, bird_config=tmp_path, netns=name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_the_nodes_of_a_lab_are_read_in_their_own_namespaces(lab_node: Place) -> None:
    here = Path("/proc/thread-self/ns/net").readlink()
    (found,) = read(lab_node)
    assert (found.node, found.namespace, found.name, found.types, found.rules) == ("n7", "a", "b", ("Ingress",), 1)
    assert Path("/proc/thread-self/ns/net").readlink() == here


def items(node: Scene, *flags: str, code: int = 0):
    return {item["name"]: item for item in node.document("show", "policies", *flags, code=code)["items"]}


def test_every_policy_that_selects_a_pod_here_is_listed_with_its_pods_and_rules(node: Scene) -> None:
    found = items(node)
    shown = {name: (item["kind"], item["types"], item["selectedPods"]) for name, item in found.items()}
    assert shown == {
        "guard": ("ClusterNetworkPolicy", ["Egress"], 2),
        "quiet": ("NetworkPolicy", ["Ingress"], 1),
        "web": ("NetworkPolicy", ["Ingress"], 1),
    }
    assert "namespace" not in found["guard"]
    assert found["web"]["namespace"] == "red"
    assert all(item["node"] == "n1" and item["rules"] > 0 for item in found.values())
    assert [name for name, item in found.items() if item.get("staged")] == ["quiet"]


def test_a_connection_counts_for_the_policy_that_decides_it(node: Scene) -> None:
    before = items(node)
    node.connect("client", "10.9.1.2", 80)
    node.connect("client", "10.9.1.2", 81)
    node.connect("client", "10.9.2.2", 80)
    after = items(node)
    gained = {name: after[name]["packets"] - before[name]["packets"] for name in after}
    assert gained == {"web": 1, "quiet": 1, "guard": 0}
    node.connect("web", "198.51.100.1", 80)
    assert items(node)["guard"]["packets"] > before["guard"]["packets"]


def test_what_was_counted_outlives_a_change_of_the_rules(node: Scene) -> None:
    node.connect("client", "10.9.2.2", 80)
    before = items(node)["quiet"]
    assert before["packets"] > 0
    staged = {"name": "more", "namespace": "red", "annotations": {"birdctl.io/staged": "true"}}
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}
    node.change(more={"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": staged, "spec": spec})
    try:
        assert items(node)["quiet"]["packets"] == before["packets"]
        node.connect("client", "10.9.2.2", 80)
        after = items(node)
        assert (after["quiet"]["packets"], after["more"]["packets"]) == (before["packets"] + 1, 1)
    finally:
        (node.manifests / "more.yaml").unlink()
        node.change()


def test_a_namespace_has_only_its_own(node: Scene) -> None:
    assert sorted(items(node, "-n", "red")) == ["quiet", "web"]
    assert items(node, "-n", "blue") == {}


def test_names_and_tables_for_scripts_and_people(node: Scene) -> None:
    assert node.birdctl("show", "policies", "-o", "name").stdout.splitlines() == [
        "policy/n1/guard",
        "policy/n1/red/quiet",
        "policy/n1/red/web",
    ]
    table = node.birdctl("show", "policies").stdout.splitlines()
    assert table[0].split()[:6] == ["NODE", "NAMESPACE", "NAME", "KIND", "TYPES", "PODS"]
    assert table[1].split()[:6] == ["n1", "-", "guard", "ClusterNetworkPolicy", "Egress", "2"]


def test_a_long_name_is_whole_though_a_comment_has_no_room_for_it(node: Scene) -> None:
    name = "x" * 250
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "egress": [{}]}
    metadata = {"name": name, "namespace": "red"}
    document = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
    node.change(long=document)
    try:
        assert items(node)[name]["rules"] > 0
    finally:
        (node.manifests / "long.yaml").unlink()
        node.change()


def test_without_the_agent_the_kernel_tells_what_it_can(node: Scene) -> None:
    node.stop_agent()
    done = node.birdctl("show", "policies", "--node", "n1", "-o", "name")
    assert done.returncode in (1, 2)
    found = items(node, code=2)
    assert sorted(found) == ["guard", "quiet", "web"]
    assert not any("selectedPods" in item for item in found.values())
