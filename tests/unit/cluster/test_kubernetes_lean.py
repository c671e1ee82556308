"""The parts of the installed `kubernetes` package that are used, without the rest of it.

Each case runs in an interpreter of its own: what is imported is what is tested.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from birdctl.cluster.apiclient import ApiClient
from birdctl.errors import Unavailable

CONNECT = """
import json, sys
from pathlib import Path
from birdctl.cluster.apiclient import ApiClient
client = ApiClient.connect(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
print(json.dumps({
    "server": client.server,
    "credentials": client._credentials(),
    "left": sorted(name for name in sys.modules if name.split(".")[0] in ("kubernetes", "oauthlib")),
    "heavy": sorted({"requests", "pydantic", "aiohttp"} & set(sys.modules)),
}))
"""


def connect(*arguments: str | Path, code: str = CONNECT, **environment: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **environment},
    )
    return dict(json.loads(run.stdout))


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path, {"token": "abc"})


def write_kubeconfig(folder: Path, user: dict[str, Any]) -> Path:
    path = folder / "kubeconfig"
    cluster = {"server": "https://192.0.2.1:6443", "insecure-skip-tls-verify": True}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_kubeconfig_gives_server_and_credentials(kubeconfig: Path):
    found = connect(kubeconfig)
    assert found["server"] == "https://192.0.2.1:6443"
    assert found["credentials"] == {"authorization": "Bearer abc"}


def test_no_model_class_and_nothing_else_heavy_is_imported(kubeconfig: Path):
    found = connect(kubeconfig)
    assert found["heavy"] == []
    assert found["left"] == []


def test_an_exec_plugin_is_asked_for_the_token(tmp_path: Path):
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "echo",
        "args": [json.dumps(credential)],
        "interactiveMode": "Never",
    }
    found = connect(write_kubeconfig(tmp_path, {"exec": plugin}))
    assert found["credentials"] == {"authorization": "Bearer from-plugin"}


def test_a_kubeconfig_with_an_auth_provider_gets_the_whole_package(tmp_path: Path):
    provider = {"name": "oidc", "config": {"id-token": "e30.eyJleHAiOjk5OTk5OTk5OTl9.e30"}}
    found = connect(write_kubeconfig(tmp_path, {"auth-provider": provider}))
    assert found["credentials"] == {"authorization": "Bearer e30.eyJleHAiOjk5OTk5OTk5OTl9.e30"}
    assert "kubernetes.client.models" in found["left"]


def test_the_whole_package_can_still_be_imported_afterwards(kubeconfig: Path):
    code = CONNECT + "\nimport kubernetes.client\nassert kubernetes.client.V1Pod().metadata is None"
    assert connect(kubeconfig, code=code)


def test_the_whole_package_serves_when_it_is_there_already(kubeconfig: Path):
    assert connect(kubeconfig, code="import kubernetes\n" + CONNECT)["credentials"] == {"authorization": "Bearer abc"}


def test_a_layout_that_is_not_known_gets_the_whole_package(kubeconfig: Path):
    unknown = "import types\nfrom birdctl.cluster import kubernetes_lean\nkubernetes_lean._bare = types.ModuleType\n"
    assert connect(kubeconfig, code=unknown + CONNECT)["credentials"] == {"authorization": "Bearer abc"}


def test_outside_of_a_cluster_and_without_a_kubeconfig_it_is_unavailable():
    code = CONNECT.replace("client = ", "from birdctl.errors import Unavailable\ntry:\n  ").replace(
        "spent = ", "except Unavailable as error:\n  print(json.dumps({'error': str(error)})); sys.exit()\nspent = "
    )
    assert connect(code=code) == {"error": "no API server is known: give --kubeconfig FILE (only a pod knows its own)"}


def test_a_kubeconfig_that_is_not_there_is_unavailable(tmp_path: Path):
    with pytest.raises(Unavailable, match=r"nowhere: No such file or directory$"):
        ApiClient.connect(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["a word", "clusters: 5", "{}", "a: [", "- x"])
def test_what_is_no_kubeconfig_is_unavailable_in_one_line(text: str, tmp_path: Path):
    (tmp_path / "config").write_text(text)
    with pytest.raises(Unavailable, match=r"^kubeconfig [^\n]*/config: [^\n]+$"):
        ApiClient.connect(tmp_path / "config")
