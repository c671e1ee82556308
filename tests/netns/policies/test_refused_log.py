"""What a reader of NFLOG gets of refused connections: the packet, and why."""

from __future__ import annotations

import subprocess

import pytest

from birdctl.netfilter.iptables import Mode
from tests.bird.daemon import _ENDS_WITH_US
from tests.netns.policies.scene import Scene, scene
from tests.polling import eventually


@pytest.fixture(scope="module", params=[str(mode) for mode in Mode])
def node(request, tmp_path_factory):
    with scene(tmp_path_factory.mktemp("scene"), request.param) as found:
        yield found


@pytest.mark.parametrize(
    ("source", "address", "prefix"),
    [
        ("client", "10.9.1.2", "birdctl deny ingress: red/web"),
        ("client", "fd00:9:1::2", "birdctl deny ingress: red/web"),
        ("web", "198.51.100.1", "birdctl deny egress: ClusterNetworkPolicy guard"),
        ("client", "10.9.2.2", "birdctl would deny ingress: red/quiet"),
    ],
)
def test_a_refused_connection_is_logged_with_its_reason(
    node: Scene, source: str, address: str, prefix: str, tmp_path
) -> None:
    written = tmp_path / "log"
    with written.open("wb") as file:
        words = ("tcpdump", "-lni", "nflog:100", "-AA")
        command = node.kernel.node.command(*_ENDS_WITH_US, *words)
        reader = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: "listening on" in written.read_text(errors="replace"))
        node.connect(source, address, 81)
        eventually(lambda: prefix in written.read_text(errors="replace"))
    finally:
        reader.terminate()
        reader.wait(10)
    assert f"{address}.81" in written.read_text(errors="replace")
