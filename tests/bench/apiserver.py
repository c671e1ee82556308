"""A real kube-apiserver with its etcd beside the bridge, and plain HTTP to fill it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from tests.bench.network import BRIDGE, Network
from tests.bench.objects import Document
from tests.polling import eventually

_TOKEN = "bench"
_CRDS = Path(os.environ.get("X_CRDS") or Path(__file__).parents[2] / "manifests")
_COLLECTIONS = {
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "BGPConfiguration": "/apis/birdctl.io/v1alpha1/bgpconfigurations",
    "BGPPeer": "/apis/birdctl.io/v1alpha1/bgppeers",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
}


class ApiServer:
    """Ready when constructed, with birdctl's CRDs; `kubeconfig` is what agents use. Ends with its network."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()
        folder.mkdir()
        _make_credentials(folder)
        network.start(_etcd(folder), log=folder / "etcd.log")
        self._process = network.start(_kube_apiserver(folder), log=folder / "kube-apiserver.log")
        eventually(self._ready, 60, pause=0.1)
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(_kubeconfig(folder)))
        self.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "birdctl-system"}}, *_crds()])
        eventually(self._serves_our_kinds, 30, pause=0.1)

    def create(self, documents: Iterable[Document], connections: int = 8) -> None:
        """Creates objects, in no particular order."""
        shares: list[list[Document]] = [[] for _ in range(connections)]
        for share, document in zip(itertools.cycle(shares), documents):
            share.append(document)
        threads = [threading.Thread(target=self._create_all, args=(share,)) for share in shares if share]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def patch(self, kind: str, name: str, change: Document, *, namespace: str = "", subresource: str = "") -> None:
        """A merge patch of one object."""
        path = "/".join(filter(None, (_COLLECTIONS[kind].format(namespace), name, subresource)))
        self._request("PATCH", path, change, "application/merge-patch+json")

    def _create_all(self, documents: Sequence[Document]) -> None:
        for document in documents:
            self._request("POST", _collection(document), document, "application/json")

    def _request(self, method: str, path: str, body: Document | None, content_type: str) -> bytes:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": content_type}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return answer

    def _connection(self) -> http.client.HTTPSConnection:
        """One for each thread, kept open."""
        if not hasattr(self._local, "connection"):
            context = ssl.create_default_context(cafile=str(self._folder / "pki/apiserver.crt"))
            self._local.connection = http.client.HTTPSConnection(BRIDGE, 6443, context=context)
        return self._local.connection

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "kube-apiserver.log").read_text()[-500:]
        try:
            return self._request("GET", "/readyz", None, "application/json") == b"ok"
        except (OSError, http.client.HTTPException, RuntimeError):
            self._local = threading.local()
            return False

    def _serves_our_kinds(self) -> bool:
        try:
            return bool(self._request("GET", _COLLECTIONS["BGPPeer"], None, "application/json"))
        except RuntimeError:
            return False


def _collection(document: Document) -> str:
    return _COLLECTIONS[document["kind"]].format(document["metadata"].get("namespace", ""))


def _crds() -> list[Document]:
    documents = itertools.chain.from_iterable(
        yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) for path in sorted(_CRDS.rglob("*.yaml"))
    )
    return [document for document in documents if document and document.get("kind") == "CustomResourceDefinition"]


def _make_credentials(folder: Path) -> None:
    (folder / "pki").mkdir()
    key = str(folder / "pki/sa.key")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f"{_TOKEN},admin,1,system:masters\n")


def _etcd(folder: Path) -> list[str]:
    return [
        "etcd",
        f"--data-dir={folder}/etcd",
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]


def _kube_apiserver(folder: Path) -> list[str]:
    return [
        os.environ["KUBE_APISERVER"],
        "--etcd-servers=http://127.0.0.1:2379",
        "--service-account-issuer=https://kubernetes.default",
        f"--service-account-key-file={folder}/pki/sa.key",
        f"--service-account-signing-key-file={folder}/pki/sa.key",
        f"--cert-dir={folder}/pki",
        "--service-cluster-ip-range=10.96.0.0/12",
        "--authorization-mode=RBAC",
        f"--token-auth-file={folder}/tokens.csv",
        "--disable-admission-plugins=ServiceAccount",
        "--bind-address=0.0.0.0",
        f"--advertise-address={BRIDGE}",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
    ]


def _kubeconfig(folder: Path) -> Document:
    server = {"server": f"https://{BRIDGE}:6443", "certificate-authority": f"{folder}/pki/apiserver.crt"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": server}],
        "users": [{"name": "agent", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "agent"}}],
        "current-context": "bench",
    }
