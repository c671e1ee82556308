"""A real kube-apiserver at the bridge's address, with birdctl's manifests applied, filled quickly."""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from base64 import b64encode
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from birdctl.cluster.apiclient import MERGE_PATCH, path_of
from birdctl.cluster.decode import KINDS
from tests.bench.network import BRIDGE
from tests.bench.objects import Document
from tests.kube import ADMINISTRATOR, KubeApiServer, manifests

_CONNECTIONS = 8
_REGISTRY = {"Node": "minions", "Pod": "pods", "Service": "services/specs", "EndpointSlice": "endpointslices"}
_AT_ONCE = 100


class Api:
    """Ready when constructed. `kubeconfig` is the agents': the rights of their service account."""

    def __init__(self, folder: Path) -> None:
        self._server = KubeApiServer(folder, address=BRIDGE)
        self._server.apply(*manifests())
        token = self._server.service_account_token("birdctl-system", "birdctl")
        self.kubeconfig = self._server.kubeconfig(token)
        self.administrator = self._server.kubeconfig(ADMINISTRATOR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def create(self, documents: Iterable[Document]) -> None:
        """Creates objects, in no particular order."""
        with ThreadPoolExecutor(_CONNECTIONS) as connections:
            list(connections.map(self._create, documents))

    def store(self, documents: Iterable[Document]) -> None:
        """Puts objects, each as after all defaulting, where the API server keeps them: thousands a second."""
        with contextlib.closing(HTTPConnection(self._server.storage)) as etcd:
            for operations in _in_parts(map(_stored, documents)):
                etcd.request("POST", "/v3/kv/txn", json.dumps({"success": operations}))
                with etcd.getresponse() as response:
                    body = response.read()
                    assert response.status == 200, body

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


def _in_parts(operations: Iterator[Document]) -> Iterator[list[Document]]:
    while part := list(itertools.islice(operations, _AT_ONCE)):
        yield part


def _stored(document: Document) -> Document:
    """The operation of etcd that creates an object."""
    metadata = document["metadata"]
    made = {"uid": str(uuid.uuid4()), "creationTimestamp": "2025-01-01T00:00:00Z"}
    key = "/".join(("/registry", _REGISTRY[document["kind"]], *_full_name(metadata)))
    value = json.dumps({**document, "metadata": {**metadata, **made}})
    return {"requestPut": {"key": b64encode(key.encode()).decode(), "value": b64encode(value.encode()).decode()}}


def _full_name(metadata: Document) -> Iterator[str]:
    if namespace := metadata.get("namespace"):
        yield namespace
    yield metadata["name"]
