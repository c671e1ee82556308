"""All tests of this folder share two nodes' agents; each has Services of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
