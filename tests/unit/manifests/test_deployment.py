"""The manifests fit each other and the program: files, images, arguments, settings, rights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from birdctl import __version__
from birdctl.cli import parser as parsers
from birdctl.cli.commands import COMMANDS
from birdctl.cluster.apiserver import NAMESPACE
from birdctl.netfilter import sysctl
from birdctl.policies.compile import KINDS
from birdctl.reconcile.sources import POLICIES, ROUTING, SERVICES
from birdctl.services import namespaces
from birdctl.services.compile import KINDS as SERVICE_KINDS
from birdctl.settings import Settings
from tests.kube import ROOT, manifests
from tests.pods import ENTRYPOINTS

FOLDER = ROOT / "manifests"
BY_KIND: dict[str, dict[str, Any]] = {item["kind"]: dict(item) for item in manifests()}
POD = BY_KIND["DaemonSet"]["spec"]["template"]["spec"]
PROXY: dict[str, Any] = yaml.safe_load((FOLDER / "service-proxy/kustomization.yaml").read_text())
CONTAINERS = {item["name"]: item for item in POD["containers"]}


def settings_of_the_agent(folder: Path) -> Settings:
    path = folder / "config.yaml"
    path.write_text(BY_KIND["ConfigMap"]["data"]["config.yaml"])
    verb, *flags = CONTAINERS["agent"]["args"]
    parser, _ = parsers.build(next(command for command in COMMANDS if command.name == verb))
    environment = {item["name"]: item.get("value", "node1") for item in CONTAINERS["agent"]["env"]}
    mounts = {item["mountPath"]: item["name"] for item in CONTAINERS["agent"]["volumeMounts"]}
    assert mounts[str(Path(environment["BIRDCTL_CONFIG"]).parent)] == "settings"
    environment["BIRDCTL_CONFIG"] = str(path)
    return Settings.load(parser.parse(flags), environment)


def test_the_kustomization_has_every_manifest():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert sorted(listed) == sorted(files)


def test_the_namespace_and_the_kinds_come_before_what_needs_them():
    kinds = [item["kind"] for item in manifests()]
    assert kinds[0] == "Namespace"
    assert kinds.index("DaemonSet") > max(index for index, kind in enumerate(kinds) if kind.startswith("Custom"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_images_are_those_of_this_version(name: str):
    assert CONTAINERS[name]["image"] == f"birdctl/{name}:{__version__}"


@pytest.mark.parametrize("page", ["README.md", "Dockerfile"])
def test_the_images_are_those_that_people_are_told_to_build(page: str):
    for container in CONTAINERS.values():
        assert f" -t {container['image']} ." in (ROOT / page).read_text()


@pytest.mark.parametrize("image", ENTRYPOINTS)
def test_the_pods_of_tests_start_what_the_images_start(image: str):
    _, _, after = (ROOT / "Dockerfile").read_text().partition(f"AS {image.removeprefix('birdctl/')}\n")
    stage, _, _ = after.partition("FROM ")
    assert f'ENTRYPOINT ["{Path(ENTRYPOINTS[image][0]).name}"]' in stage


def test_the_agent_takes_its_arguments_and_its_settings(tmp_path: Path):
    found = settings_of_the_agent(tmp_path)
    assert found.node == "node1"
    assert found.namespace == NAMESPACE == BY_KIND["Namespace"]["metadata"]["name"]
    assert found.manifests is None


def test_both_containers_find_socket_and_configuration_where_the_agent_looks_for_them(tmp_path: Path):
    found = settings_of_the_agent(tmp_path)
    for container in CONTAINERS.values():
        mounts = {item["mountPath"]: item["name"] for item in container["volumeMounts"]}
        assert mounts[str(found.bird_socket.parent)] == "bird-socket"
        assert mounts[str(found.bird_config.parent)] == "bird-config"
        assert str(found.bird_socket) in str(CONTAINERS["bird"])


def test_the_probes_ask_where_the_agent_answers(tmp_path: Path):
    (port,) = CONTAINERS["agent"]["ports"]
    assert port["containerPort"] == settings_of_the_agent(tmp_path).health_port


def test_containers_have_the_capabilities_they_need_and_only_the_agent_has_a_token():
    contexts = {name: item["securityContext"] for name, item in CONTAINERS.items()}
    assert contexts["agent"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert contexts["bird"]["capabilities"]["drop"] == ["ALL"]
    assert not any(context["allowPrivilegeEscalation"] for context in contexts.values())
    assert all(context["readOnlyRootFilesystem"] for context in contexts.values())
    assert POD["automountServiceAccountToken"] is False
    assert "token" not in {mount["name"] for mount in CONTAINERS["bird"]["volumeMounts"]}


def test_the_firewall_waits_to_be_switched_on_and_shares_the_lock_of_the_nodes_rules(tmp_path: Path):
    found = settings_of_the_agent(tmp_path)
    assert not found.run_firewall
    assert found.netpol_default_deny
    mounts = {item["mountPath"]: item["name"] for item in CONTAINERS["agent"]["volumeMounts"]}
    volumes = {item["name"]: item for item in POD["volumes"]}
    assert volumes[mounts["/run/xtables.lock"]]["hostPath"] == {"path": "/run/xtables.lock", "type": "FileOrCreate"}


def test_the_service_proxy_is_a_variant_that_reaches_the_api_server_without_a_service(tmp_path: Path):
    assert not settings_of_the_agent(tmp_path).run_service_proxy
    patches = [yaml.safe_load(each["patch"]) for each in PROXY["patches"]]
    config, daemon = patches
    (tmp_path / "config.yaml").write_text(config["data"]["config.yaml"])
    found = Settings.load(argparse.Namespace(config=str(tmp_path / "config.yaml")), {})
    assert (found.run_service_proxy, found.run_loadbalancer, found.run_firewall) == (True, True, False)
    (agent,) = daemon["spec"]["template"]["spec"]["containers"]
    assert {item["name"] for item in agent["env"]} == {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}
    mounts = {item["mountPath"] for item in agent["volumeMounts"]}
    assert str(sysctl._MOUNTED / "net") in mounts
    assert any(place.startswith("/run/netns/") for place in namespaces._PLACES)
    assert "/run/netns" in mounts


def test_what_a_domain_compiles_from_is_what_it_watches():
    assert set(POLICIES) == set(KINDS)
    assert set(SERVICES) == set(SERVICE_KINDS)


def test_the_rights_to_read_are_those_for_what_the_agent_watches():
    rules = BY_KIND["ClusterRole"]["rules"]
    watched = {resource for rule in rules if "watch" in rule["verbs"] for resource in rule["resources"]}
    assert watched == {type_.plural for type_ in (*ROUTING, *POLICIES, *SERVICES)} - {"secrets"}


def test_no_right_is_a_wildcard():
    for kind in ("ClusterRole", "Role"):
        for rule in BY_KIND[kind]["rules"]:
            assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
