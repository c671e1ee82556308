"""A real kube-apiserver for the tests of this folder.

`apiserver` is one for the whole session (tests/kube.py says what it offers), with birdctl's manifests applied; tests
share it, so each uses names of its own. `own_apiserver` starts one for a single test that stops or empties it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kube import KubeApiServer, manifests


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    server = KubeApiServer(tmp_path_factory.mktemp("apiserver"))
    try:
        server.apply(*manifests())
        yield server
    finally:
        server.close()


@pytest.fixture
def own_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    server = KubeApiServer(tmp_path_factory.mktemp("apiserver"))
    try:
        yield server
    finally:
        server.close()
