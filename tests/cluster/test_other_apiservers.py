"""An agent whose API server has a Service in front that leads nowhere finds the servers themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from birdctl.cluster.apiclient import ApiClient
from birdctl.errors import Unavailable
from tests.kube import ADMINISTRATOR, KubeApiServer


def kubeconfig(folder: Path, apiserver: KubeApiServer, server: str) -> Path:
    document = json.loads(apiserver.kubeconfig(ADMINISTRATOR).read_text())
    document["clusters"][0]["cluster"]["server"] = server
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def others(tmp_path: Path, apiserver: KubeApiServer) -> Path:
    path = tmp_path / "apiservers"
    path.write_text(f"{apiserver.url}\n")
    return path


def test_they_are_known_by_the_certificate_of_the_service(
    tmp_path: Path, apiserver: KubeApiServer, others: Path
) -> None:
    service = kubeconfig(tmp_path, apiserver, "https://kubernetes.default.svc:1")
    client = ApiClient.connect(service, others=others)
    with pytest.raises(Unavailable):
        client.request("GET", "/readyz")
    assert client.request("GET", "/readyz") == b"ok"


def test_a_server_without_that_certificate_gets_no_request(
    tmp_path: Path, apiserver: KubeApiServer, others: Path
) -> None:
    client = ApiClient.connect(kubeconfig(tmp_path, apiserver, "https://elsewhere.invalid:1"), others=others)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"elsewhere\.invalid|127\.0\.0\.1"):
            client.request("GET", "/readyz")
