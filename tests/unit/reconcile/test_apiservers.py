"""Where the API servers are, written down for the day when their own service leads nowhere."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from birdctl.cluster.objects import EndpointSlice
from birdctl.cluster.store import Cluster
from birdctl.reconcile.apiservers import path, record


def endpoints(*addresses: str, of: str = "kubernetes", port: str = "https", ready: bool = True) -> EndpointSlice:
    document = {
        "metadata": {"name": of, "namespace": "default", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "ports": [{"name": port, "port": 6443}],
        "endpoints": [{"addresses": [each], "conditions": {"ready": ready}} for each in addresses],
    }
    return msgspec.convert(document, EndpointSlice)


def written(folder: Path, *objects: EndpointSlice) -> list[str]:
    cluster = Cluster.of(*objects)
    record(cluster, cluster.take_dirty(), folder)
    return path(folder).read_text().split() if path(folder).exists() else []


@pytest.mark.parametrize(
    ("found", "urls"),
    [
        (endpoints("10.0.0.2", "10.0.0.1"), ["https://10.0.0.1:6443", "https://10.0.0.2:6443"]),
        (endpoints("fd00::1"), ["https://[fd00::1]:6443"]),
        (endpoints("10.0.0.1", of="web"), []),
        (endpoints("10.0.0.1", port="http"), []),
        (endpoints("10.0.0.1", ready=False), []),
    ],
)
def test_ready_endpoints_of_the_api_server_s_service_are_written_down(
    tmp_path: Path, found: EndpointSlice, urls: list[str]
) -> None:
    assert written(tmp_path, found) == urls


def test_the_last_known_ones_stay_when_there_are_none(tmp_path: Path) -> None:
    written(tmp_path, endpoints("10.0.0.1"))
    assert written(tmp_path, endpoints("10.0.0.9", ready=False)) == ["https://10.0.0.1:6443"]


def test_a_folder_that_cannot_be_written_keeps_nothing_from_working(tmp_path: Path) -> None:
    assert written(tmp_path / "nowhere", endpoints("10.0.0.1")) == []
