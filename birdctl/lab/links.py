"""The links of a lab: veth pairs, made inside the nodes' network namespaces, never in the machine's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from birdctl.errors import BackendError
from birdctl.lab.record import LabNode
from birdctl.lab.topology import Endpoint, Link


def connect(places: Mapping[str, LabNode], links: Iterable[Link]) -> None:
    """Makes the links and sets every interface up, loopback too. Raises BackendError naming the link."""
    with IPRoute() as machine:
        for link in links:
            _make(machine, places, link)
    for place in places.values():
        _set_up(place)


def _make(machine: IPRoute, places: Mapping[str, LabNode], link: Link) -> None:
    one, other = (_end(places, endpoint, link.mtu) for endpoint in link.endpoints)
    try:
        machine.link("add", kind="veth", **one, peer=other)
    except NetlinkError as error:
        named = " - ".join(f"{endpoint.node}:{endpoint.interface}" for endpoint in link.endpoints)
        raise BackendError(f"link {named} cannot be made: {error}") from None


def _end(places: Mapping[str, LabNode], endpoint: Endpoint, mtu: int) -> dict[str, str | int]:
    mac = {"address": endpoint.mac} if endpoint.mac else {}
    return {"ifname": endpoint.interface, "net_ns_fd": places[endpoint.node].netns, "mtu": mtu, **mac}


def _set_up(place: LabNode) -> None:
    with IPRoute(netns=place.netns) as inside:
        for index in inside.link_lookup():
            inside.link("set", index=index, state="up")
