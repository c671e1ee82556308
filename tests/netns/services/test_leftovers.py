"""What kube-proxy's nftables mode left on a real kernel: doctor tells of it, cleanup alone takes it away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from birdctl.addresses import Family
from birdctl.cli import service_checks
from birdctl.errors import BackendError
from birdctl.netfilter import nft
from birdctl.services import leftovers
from birdctl.settings import Settings
from tests.bird.daemon import Namespace

KUBE_PROXY = """
table {family} kube-proxy {{
    comment "rules for kube-proxy"
    set cluster-ips {{
        type {type}
    }}
    map service-ips {{
        type {type} . inet_proto . inet_service : verdict
        elements = {{ {vip} . tcp . 443 : goto service-2QRHZV4L }}
    }}
    chain endpoint-2QRHZV4L {{
        meta l4proto tcp dnat to {endpoint}
    }}
    chain service-2QRHZV4L {{
        numgen random mod 1 vmap {{ 0 : goto endpoint-2QRHZV4L }}
    }}
    chain services {{
        {family} daddr . meta l4proto . th dport vmap @service-ips
    }}
    chain nat-prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        jump services
    }}
}}
"""
OF_KUBE_PROXY = {
    Family.IPV4: KUBE_PROXY.format(family="ip", type="ipv4_addr", vip="10.96.0.1", endpoint="192.0.2.1:6443"),
    Family.IPV6: KUBE_PROXY.format(family="ip6", type="ipv6_addr", vip="fd00:96::1", endpoint="[2001:db8::1]:6443"),
}
OF_OTHERS = """
table inet kube-proxy {
    set addresses {
        type ipv4_addr
    }
}
table ip kube-proxy-mine {
    chain input {
        type filter hook input priority 0; policy accept;
    }
}
table ip6 others {
    chain kube-proxy {
        counter
    }
}
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Rules]:
    with Namespace() as space, space.inside():
        yield Rules(space, tmp_path / "rules.nft")


class Rules:
    """Of a node with others' tables, as nft(8) knows them."""

    def __init__(self, space: Namespace, file: Path) -> None:
        self._space = space
        self._file = file
        self.add(OF_OTHERS)

    def add(self, text: str) -> None:
        self._file.write_text(text)
        self._space.run(f"nft -f {self._file}")

    def __str__(self) -> str:
        return self._space.run("nft -s list ruleset")


def told() -> list[str]:
    """By doctor, of nftables."""
    return [each for each in service_checks.leftovers(Settings()) if "nftables" in each]


@pytest.mark.parametrize("families", [(each,) for each in Family] + [tuple(Family)])
def test_doctor_tells_of_its_tables_and_cleanup_removes_them_and_no_others(
    node: Rules, families: tuple[Family, ...]
) -> None:
    before = str(node)
    for of in families:
        node.add(OF_KUBE_PROXY[of])
    tables = [f"nftables table kube-proxy of {of}" for of in families]
    with_kube_proxy = str(node)
    assert told() == tables
    assert str(node) == with_kube_proxy
    assert list(leftovers.remove(())) == [f"{each} removed" for each in tables]
    assert str(node) == before
    assert told() == list(leftovers.remove(())) == []


@pytest.mark.usefixtures("node")
def test_a_table_that_the_kernel_does_not_give_up_is_an_error() -> None:
    with pytest.raises(BackendError, match="nftables table gone of IPv4: No such file or directory"):
        nft.delete_table(Family.IPV4, "gone")
