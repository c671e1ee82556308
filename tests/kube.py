"""A real kube-apiserver with its etcd, for tests.

`KubeApiServer(folder)` starts both on free ports of the loopback address, or inside a network namespace at an address
that namespace has; `close` ends both by their process ids. RBAC is on: `client` is the administrator, and
`kubeconfig(token)` writes a kubeconfig of anybody else, as of the token that `service_account_token` requests.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from birdctl.cluster.apiclient import APPLY_PATCH, ApiClient
from birdctl.errors import BackendError
from tests.polling import eventually

ROOT = Path(__file__).parents[1]
ADMINISTRATOR = "administrator-of-this-test"
Document = Mapping[str, Any]


@cache
def kube_apiserver_binary() -> str:
    """The cached binary; built when there is none yet, which takes minutes."""
    script = ROOT / "tests/setup/kube-apiserver.sh"
    return subprocess.run([script], check=True, capture_output=True, text=True).stdout.strip()


class KubeApiServer:
    """Ready when constructed. `folder` is made, and keeps data, logs and kubeconfigs."""

    def __init__(self, folder: Path, *, namespace: str = "", address: str = "127.0.0.1") -> None:
        self.folder = folder
        self.address = address
        self._within = ["ip", "netns", "exec", namespace] if namespace else []
        self._ports = _free_ports(3)
        self._processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._make_credentials()
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self._ports[2]}"

    @property
    def port(self) -> int:
        return self._ports[2]

    @property
    def storage(self) -> str:
        """The address of its etcd."""
        return f"{self.address}:{self._ports[0]}"

    @property
    def authority(self) -> Path:
        """The certificate that signs the server's."""
        return self.folder / "pki/apiserver.crt"

    def start(self) -> None:
        """Start kube-apiserver, again after `stop`: etcd has kept everything."""
        binary = kube_apiserver_binary()
        pki = self.folder / "pki"
        self._server = self._run(
            binary,
            f"--etcd-servers=http://{self.address}:{self._ports[0]}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address if self.address != '127.0.0.1' else '192.0.2.1'}",
            f"--secure-port={self._ports[2]}",
            f"--cert-dir={pki}",
            "--service-account-issuer=https://kubernetes.default",
            f"--service-account-key-file={pki / 'sa.key'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            f"--token-auth-file={pki / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16,fd96::/112",
            "--allow-privileged",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            log="kube-apiserver.log",
        )
        eventually(lambda: self._is_running() and self.authority.exists(), 30, pause=0.1)
        self.client = ApiClient.connect(self.kubeconfig(ADMINISTRATOR))
        eventually(self._is_ready, 90, pause=0.1)

    def stop(self) -> None:
        """End kube-apiserver, not etcd."""
        self._processes.remove(self._server)
        _end(self._server)

    def close(self) -> None:
        for process in reversed(self._processes):
            _end(process)
        self._processes.clear()

    def kubeconfig(self, token: str) -> Path:
        """A kubeconfig file of whoever has the token."""
        path = self.folder / f"kubeconfig-{abs(hash(token))}"
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "test", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                    "current-context": "test",
                }
            )
        )
        return path

    def service_account_token(self, namespace: str, name: str, *, node: str = "") -> str:
        """A token as kubelet asks for it, of a pod on `node` if that is given."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": node}} if node else {}
        return str(json.loads(self.client.request("POST", path, {"spec": bound}))["status"]["token"])

    def apply(self, *documents: Document) -> None:
        """Server-side apply as the administrator, `status` included. Raises ApiRefused."""
        for document in documents:
            path = self.path_of(document)
            query = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
            self.client.request("PATCH", path, document, APPLY_PATCH, query=query)
            if "status" in document:
                self.client.request("PATCH", f"{path}/status", document, APPLY_PATCH, query=query)
            if document["kind"] == "CustomResourceDefinition":
                eventually(lambda spec=document["spec"]: self._serves(spec), 30)

    def delete(self, *documents: Document) -> None:
        for document in documents:
            self.client.request("DELETE", self.path_of(document))

    def path_of(self, document: Document) -> str:
        """Where the API serves this object, by the server's own discovery."""
        api_version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
        root = f"/{'apis' if '/' in api_version else 'api'}/{api_version}"
        resource = eventually(lambda: self._resource(root, kind), 15)
        namespace = f"namespaces/{metadata.get('namespace', 'default')}/" if resource["namespaced"] else ""
        return f"{root}/{namespace}{resource['name']}/{metadata['name']}"

    def _serves(self, spec: Mapping[str, Any]) -> bool:
        try:
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            return bool(self.client.request("GET", path))
        except BackendError as error:
            raise AssertionError(str(error)) from None

    def _resource(self, root: str, kind: str) -> dict[str, Any]:
        try:
            resources = json.loads(self.client.request("GET", root))["resources"]
        except BackendError as error:
            raise AssertionError(str(error)) from None
        found = [item for item in resources if item["kind"] == kind and "/" not in item["name"]]
        assert found, f"{root} has no {kind}"
        return dict(found[0])

    def _is_running(self) -> bool:
        assert self._server.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        return True

    def _is_ready(self) -> bool:
        try:
            return self._is_running() and self.client.request("GET", "/readyz") == b"ok"
        except BackendError as error:
            raise AssertionError(str(error)) from None

    def _make_credentials(self) -> None:
        pki = self.folder / "pki"
        pki.mkdir()
        subprocess.run(["openssl", "genrsa", "-out", pki / "sa.key", "2048"], check=True, capture_output=True)
        (pki / "tokens.csv").write_text(f"{ADMINISTRATOR},administrator,1,system:masters\n")

    def _start_etcd(self) -> None:
        client, peer = (f"http://{self.address}:{port}" for port in self._ports[:2])
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            log="etcd.log",
        )

    def _run(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen([*self._within, *command], stdout=output, stderr=output, cwd=self.folder)
        self._processes.append(process)
        return process


def manifests() -> list[Document]:
    """Everything that `kubectl apply -k manifests/` would send, in its order."""
    folder = ROOT / "manifests"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    documents = [
        document
        for resource in kustomization["resources"]
        for document in yaml.safe_load_all((folder / resource).read_text())
    ]
    tags = {image["name"]: f"{image['name']}:{image['newTag']}" for image in kustomization["images"]}
    for document in documents:
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            container["image"] = tags[container["image"]]
    return documents


def crds() -> Iterable[Document]:
    return [document for document in manifests() if document["kind"] == "CustomResourceDefinition"]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        with closing(one):
            pass
    return ports


def _end(process: subprocess.Popen[bytes]) -> None:
    """At once: a kube-apiserver asked politely waits a minute for its watches."""
    process.kill()
    process.wait()
