"""What services take of links, routes and rules, in the form of `ip -batch`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from birdctl.addresses import family, sort_key
from birdctl.netfilter.rtnetlink import PROTOCOL
from birdctl.services.direct import PRIORITY, TABLE
from birdctl.services.links import DEVICE
from birdctl.services.model import DIRECT_MARK, DIRECT_MARK_MASK, ServiceState


def links_text(state: ServiceState) -> str:
    """The VIPs and the way that marked packets take; what is in pods is not in it."""
    return "".join(f"{line}\n" for line in (*_vips(state), *_direct(state)))


def _vips(state: ServiceState) -> Iterator[str]:
    held = sorted(state.addresses - state.node_addresses, key=sort_key)
    if held:
        yield f"link add {DEVICE} type dummy"
        yield f"link set {DEVICE} arp off up"
    for each in held:
        source = state.sources.get(family(each))
        yield f"route add local {each} dev {DEVICE} table local proto {PROTOCOL}{f' src {source}' if source else ''}"


def _direct(state: ServiceState) -> Iterator[str]:
    for version in sorted({each.port.address.version for each in state.direct_returns}):
        yield f"-{version} route add local default dev lo table {TABLE} proto {PROTOCOL}"
        mark = f"fwmark {DIRECT_MARK:#x}/{DIRECT_MARK_MASK:#x}"
        yield f"-{version} rule add {mark} table {TABLE} priority {PRIORITY} protocol {PROTOCOL}"
