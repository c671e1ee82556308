"""Many BGP peers of one node, in one BIRD: a machine that has all their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.bench.network import Network, address
from tests.bench.node import Node, answers
from tests.bench.objects import EXTERNAL_ASN, pod_cidr
from tests.polling import eventually

MESH_ASN = 64512


def start_peers(network: Network, scratch: Path, node: Node, mesh: Iterable[int], external: Iterable[int]) -> None:
    """Peers that wait for `node` at the addresses of these indexes; mesh peers announce their pod CIDR."""
    mesh, external = list(mesh), list(external)
    indexes = [*mesh, *external]
    network.add("peers", indexes)
    network.introduce("peers", [(node.index, node.index)])
    node.meet((index, indexes[0]) for index in indexes)
    sessions = [_mesh_peer(node.index, index) for index in mesh]
    sessions += [_session(node.index, index, EXTERNAL_ASN, "import none; export none;") for index in external]
    _start(network, scratch, "peers", "\n".join(sessions))


def start_witness(network: Network, scratch: Path, node: Node, index: int) -> None:
    """The machine `witness`: an external peer of `node` that puts every route it is told into its kernel."""
    network.add("witness", [index])
    network.introduce("witness", [(node.index, node.index)])
    node.meet([(index, index)])
    kernel = "protocol direct { ipv4; }\nprotocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }"
    _start(
        network,
        scratch,
        "witness",
        f"{kernel}\n{_session(node.index, index, EXTERNAL_ASN, 'import all; export none;')}",
    )


def _start(network: Network, scratch: Path, name: str, protocols: str) -> None:
    config, socket = scratch / f"{name}.conf", scratch / f"{name}.ctl"
    config.write_text(f"log stderr all;\nrouter id 172.30.255.1;\nprotocol device {{ }}\n{protocols}\n")
    network.start(["bird", "-f", "-c", config, "-s", socket], on=name, log=scratch / f"{name}.log")
    eventually(lambda: answers(socket))


def _mesh_peer(node: int, index: int) -> str:
    own = f"pods{index}"
    static = f"protocol static {own} {{ ipv4; route {pod_cidr(index)} blackhole; }}"
    session = _session(node, index, MESH_ASN, f'import none; export where proto = "{own}";')
    return f"{static}\n{session}"


def _session(node: int, index: int, asn: int, policy: str) -> str:
    """A passive session. BIRD allows one session to an address and port; the port of a passive one is never used."""
    return f"""protocol bgp peer{index} {{
  router id {address(index)};
  local {address(index)} as {asn};
  neighbor {address(node)} port {index} as {MESH_ASN};
  {"multihop" if asn == MESH_ASN else "direct"};
  passive;
  ipv4 {{ {policy} }};
}}"""
