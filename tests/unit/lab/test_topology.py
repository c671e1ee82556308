"""A *.clab.yml file: what it means, how its levels merge, and what is refused, with file, line and field."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

from birdctl.errors import InputError
from birdctl.lab.topology import DEFAULT_MTU, Bind, Endpoint, Link, Node, Topology, lab_name, load

ROOT = Path(__file__).parents[3]
SCENARIOS = sorted((ROOT / "containerlab").glob("*/*.clab.yml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("common", "special"):
        (tmp_path / name).write_text(name)
    return tmp_path


def read(folder: Path, text: str) -> Topology:
    file = folder / "lab.clab.yml"
    file.write_text(text)
    return load(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as refused:
        read(folder, text)
    return str(refused.value).replace(f"{folder}/", "")


def one_node(**fields: str) -> str:
    lines = "".join(f"      {key.replace('_', '-')}: {value}\n" for key, value in fields.items())
    return f"name: l\ntopology:\n  nodes:\n    a:\n      kind: linux\n{lines}"


def with_links(*links: str) -> str:
    nodes = "name: l\ntopology:\n  defaults: {kind: linux}\n  nodes:\n    a:\n    b:\n  links:\n"
    return nodes + "".join(f"    - {link}\n" for link in links)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.parent.name)
def test_every_scenario_is_in_the_subset_and_named_like_its_folder(file: Path) -> None:
    topology = load(file)
    assert topology.name == lab_name(file) == file.parent.name


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.parent.name)
def test_every_scenario_is_friendly_to_the_real_containerlab(file: Path) -> None:
    text = file.read_text()
    for wanted in ("network-mode: none", "skip-when-unused: true", 'restart-policy: "no"', "image-pull-policy: Never"):
        assert wanted in text
    assert {link.mtu for link in load(file).links} == {1500}


@pytest.mark.parametrize("page", ["Dockerfile", "containerlab/README.md"])
def test_the_image_of_every_scenario_is_the_one_that_people_are_told_to_build(page: str) -> None:
    assert {yaml.safe_load(file.read_text())["topology"]["defaults"]["image"] for file in SCENARIOS} == {"birdctl-lab"}
    assert "docker build --target lab -t birdctl-lab ." in (ROOT / page).read_text()


def test_the_image_has_what_birdctl_lab_needs_of_a_machine() -> None:
    demo = re.findall(r"^DEMO_PACKAGES = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    installed = re.findall(r"--no-install-recommends ([^&\n]+)", (ROOT / "Dockerfile").read_text())
    assert {*" ".join(demo).split(), "frr"} <= set(" ".join(installed).split())


def test_levels_merge_from_defaults_over_kind_and_group_to_the_node(folder: Path) -> None:
    topology = read(
        folder,
        """
name: merged
topology:
  defaults:
    kind: linux
    env: {A: defaults, B: defaults}
    exec: [echo defaults]
    binds: ["common:/x", "common:/y"]
    sysctls: {net.ipv4.ip_forward: 0}
  kinds:
    linux: {env: {B: kind, C: kind}, exec: [echo kind]}
  groups:
    g: {env: {C: group}, exec: [echo group], cmd: sleep 1}
  nodes:
    a: {group: g, env: {D: node}, exec: [echo node], binds: ["special:/x:ro"], sysctls: {net.ipv4.ip_forward: 1}}
    b: {}
""",
    )
    a, b = topology.nodes
    assert dict(a.env) == {"A": "defaults", "B": "kind", "C": "group", "D": "node"}
    assert a.exec == tuple(("echo", level) for level in ("defaults", "kind", "group", "node"))
    assert a.cmd == ("sleep", "1")
    assert a.sysctls == (("net.ipv4.ip_forward", "1"),)
    assert a.binds == (
        Bind(source=folder / "special", target=PurePosixPath("/x"), read_only=True),
        Bind(source=folder / "common", target=PurePosixPath("/y")),
    )
    assert b.exec == (("echo", "defaults"), ("echo", "kind"))


def test_both_forms_of_a_link_mean_the_same(folder: Path) -> None:
    topology = read(
        folder,
        with_links(
            '{endpoints: ["a:eth1", "b:eth1"], mtu: 1500}',
            "{type: veth, mtu: 1500, endpoints: [{node: a, interface: eth2, mac: 02:00:00:00:00:01}, "
            "{node: b, interface: eth2}]}",
            '{endpoints: ["a:eth3", "b:eth3"]}',
        ),
    )
    assert topology.links == (
        Link(endpoints=(Endpoint(node="a", interface="eth1"), Endpoint(node="b", interface="eth1")), mtu=1500),
        Link(
            endpoints=(
                Endpoint(node="a", interface="eth2", mac="02:00:00:00:00:01"),
                Endpoint(node="b", interface="eth2"),
            ),
            mtu=1500,
        ),
        Link(endpoints=(Endpoint(node="a", interface="eth3"), Endpoint(node="b", interface="eth3")), mtu=DEFAULT_MTU),
    )


def test_magic_names_are_expanded_in_binds_and_commands(folder: Path) -> None:
    (folder / "clab-l" / "a").mkdir(parents=True)
    (node,) = read(
        folder,
        one_node(binds="[__clabNodeDir__:/own, __clabDir__:/all]", exec="[echo __clabNodeName__ of __clabLabName__]"),
    ).nodes
    assert [bind.source for bind in node.binds] == [folder / "clab-l" / "a", folder / "clab-l"]
    assert node.exec == (("echo", "a", "of", "l"),)


def test_commands_are_split_as_words_without_a_shell(folder: Path) -> None:
    (node,) = read(folder, one_node(exec="[\"sh -c 'echo a; echo b'\"]")).nodes
    assert node.exec == (("sh", "-c", "echo a; echo b"),)


def test_what_only_containers_need_is_ignored(folder: Path) -> None:
    text = one_node(
        image="x:latest",
        image_pull_policy="Never",
        restart_policy='"no"',
        network_mode="none",
        privileged="true",
        cap_add="[NET_ADMIN]",
        ports="[80:80]",
        cpu="2",
        cpu_set="0-1",
        memory="1Gb",
        shm_size="1Mb",
        stages="{create: {wait-for: []}}",
    )
    assert read(folder, f"mgmt: {{network: x}}\n{text}").nodes == (Node(name="a"),)


def test_a_bind_without_a_source_is_a_folder_of_the_nodes_own(folder: Path) -> None:
    (node,) = read(folder, one_node(binds="[/data]")).nodes
    assert node.binds == (Bind(source=None, target=PurePosixPath("/data")),)


def test_another_name_replaces_the_files_own(folder: Path) -> None:
    read(folder, one_node())
    assert load(folder / "lab.clab.yml", "other").name == "other"


def test_only_the_name_is_needed_to_take_a_lab_down(folder: Path) -> None:
    file = folder / "lab.clab.yml"
    file.write_text("name: l\nspoilt: {}\n")
    assert lab_name(file) == "l"


REFUSED = [
    ("name: l\ntopology: {nodes: {a: {kind: srl}}}", "lab.clab.yml:2: topology.nodes.a.kind: kind 'srl'"),
    ("name: l\ntopology: {nodes: {a: {}}}", "lab.clab.yml:2: topology.nodes.a: needs a kind"),
    ("name: l\ntopology: {kinds: {srl: {}}, nodes: {}}", "lab.clab.yml:2: topology.kinds.srl: kind 'srl'"),
    ("name: l\nprefix: x\n", "lab.clab.yml:2: prefix: is not supported; understood here: name, topology"),
    ("topology: {}\n", "lab.clab.yml: name: is missing"),
    ("name: l\n", "lab.clab.yml: topology: is missing"),
    ("name: l\ntopology:\n  links: []\n", "lab.clab.yml:3: topology: has no nodes"),
    ("name: a/b\ntopology: {}\n", "lab.clab.yml:1: name: 'a/b' is no name"),
    ("name: [\n", "lab.clab.yml:2: is not YAML"),
    ("", "lab.clab.yml: is empty"),
    ("- a\n", "lab.clab.yml:1: expected a map"),
    ("name: l\nname: m\n", "lab.clab.yml:2: name: is given twice"),
    (one_node(startup_config="x"), "lab.clab.yml:6: topology.nodes.a.startup-config: is not supported"),
    (one_node(group="g"), "lab.clab.yml:6: topology.nodes.a.group: there is no group 'g'"),
    (one_node(exec="ls"), "lab.clab.yml:6: topology.nodes.a.exec: expected a list"),
    (one_node(exec='["ls $HOME"]'), "lab.clab.yml:6: topology.nodes.a.exec[0]: `$` is not supported"),
    (one_node(exec='["echo \'x"]'), "lab.clab.yml:6: topology.nodes.a.exec[0]: cannot be split into words"),
    (one_node(cmd='""'), "lab.clab.yml:6: topology.nodes.a.cmd: is empty"),
    (one_node(cmd="sh __clabNodeName__"), "lab.clab.yml:6: topology.nodes.a.cmd: magic names are expanded in"),
    (one_node(env="{A: __clabDir__}"), "lab.clab.yml:6: topology.nodes.a.env.A: magic names are expanded in"),
    (one_node(env="[A=1]"), "lab.clab.yml:6: topology.nodes.a.env: expected a map"),
    (one_node(env="{A: [1]}"), "lab.clab.yml:6: topology.nodes.a.env.A: expected a text"),
    (one_node(sysctls="{kernel.panic: 1}"), "lab.clab.yml:6: topology.nodes.a.sysctls.kernel.panic: only `net.`"),
    (one_node(binds="[absent:/x]"), "lab.clab.yml:6: topology.nodes.a.binds[0]: absent does not exist"),
    (one_node(binds="[common:x]"), "lab.clab.yml:6: topology.nodes.a.binds[0]: 'x' is no absolute path"),
    (one_node(binds="[common:/a/../b]"), "lab.clab.yml:6: topology.nodes.a.binds[0]: '/a/../b' is no absolute path"),
    (one_node(binds="[common:/x:z]"), "lab.clab.yml:6: topology.nodes.a.binds[0]: expected SOURCE:TARGET"),
    (with_links('{endpoints: ["a:eth1"]}'), "lab.clab.yml:8: topology.links[0]: needs two endpoints"),
    (with_links("{type: host, endpoints: [{}, {}]}"), "lab.clab.yml:8: topology.links[0].type: a link of type 'host'"),
    (with_links('{endpoints: ["a:eth1", "c:eth1"]}'), "lab.clab.yml:8: topology.links[0]: there is no node 'c'"),
    (
        with_links('{endpoints: ["a:eth1", "b:eth1"]}', '{endpoints: ["a:eth2", "b:eth1"]}'),
        "lab.clab.yml:9: topology.links[1]: b:eth1 is in use by another link",
    ),
    (with_links('{endpoints: ["a", "b:eth1"]}'), 'lab.clab.yml:8: topology.links[0].endpoints[0]: expected "NODE'),
    (
        with_links('{endpoints: ["a:eth1", "b:a-name-that-is-too-long"]}'),
        "lab.clab.yml:8: topology.links[0].endpoints[1]: 'a-name-that-is-too-long' is no name for an interface",
    ),
    (
        with_links('{endpoints: ["a:eth1", "b:eth1"], mtu: 1}'),
        "lab.clab.yml:8: topology.links[0].mtu: expected a number from 68 to 65535, got '1'",
    ),
    (
        with_links("{type: veth, endpoints: [{node: a, interface: eth1, mac: x}, {node: b, interface: eth1}]}"),
        "lab.clab.yml:8: topology.links[0].endpoints[0].mac: 'x' is no MAC address",
    ),
    (
        with_links("{type: veth, endpoints: [{node: a, interface: eth1, ipv4: 10.0.0.1/24}, {}]}"),
        "lab.clab.yml:8: topology.links[0].endpoints[0].ipv4: is not supported",
    ),
    (
        with_links("{type: veth, endpoints: [{node: a}, {node: b, interface: eth1}]}"),
        "lab.clab.yml:8: topology.links[0].endpoints[0]: needs a node and an interface",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_outside_the_subset_is_refused_with_its_place(folder: Path, text: str, message: str) -> None:
    assert message in refusal(folder, text)


def test_a_file_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.clab\.yml: cannot be read"):
        load(folder / "absent.clab.yml")
