"""A real kube-apiserver at the bridge's address, with birdctl's manifests applied, filled quickly."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from birdctl.cluster.apiclient import MERGE_PATCH, path_of
from birdctl.cluster.decode import KINDS
from tests.bench.network import BRIDGE
from tests.bench.objects import Document
from tests.kube import KubeApiServer, manifests

_CONNECTIONS = 8


class Api:
    """Ready when constructed. `kubeconfig` is the agents': the rights of their service account."""

    def __init__(self, folder: Path) -> None:
        self._server = KubeApiServer(folder, address=BRIDGE)
        self._server.apply(*manifests())
        token = self._server.service_account_token("birdctl-system", "birdctl")
        self.kubeconfig = self._server.kubeconfig(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def create(self, documents: Iterable[Document]) -> None:
        """Creates objects, in no particular order."""
        with ThreadPoolExecutor(_CONNECTIONS) as connections:
            list(connections.map(self._create, documents))

    def patch(self, kind: str, name: str, change: Document, *, namespace: str = "", subresource: str = "") -> None:
        """A merge patch of one object."""
        path = path_of(KINDS[kind], name, namespace=namespace, subresource=subresource)
        self._server.client.request("PATCH", path, change, MERGE_PATCH)

    def _create(self, document: Document) -> None:
        metadata, kind = document["metadata"], document["kind"]
        namespace = metadata.get("namespace", "")
        self._server.client.request("POST", path_of(KINDS[kind], namespace=namespace), document)
        if kind == "Pod":  # the API server begins with a status of its own
            status = {"status": document["status"]}
            self.patch(kind, metadata["name"], status, namespace=namespace, subresource="status")
