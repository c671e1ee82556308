"""What of a service is on the node, as far as those outside can tell. Pure."""

from __future__ import annotations

from birdctl.reconcile.announcing import NOTHING, Standing
from birdctl.services.compile import ServicePart
from birdctl.services.model import Mark, ServerKey, ServiceState


def standing(part: ServicePart | None, there: ServiceState) -> Standing:
    """The addresses of a service that work with what is there: its virtual servers are, and its VIPs."""
    if part is None:
        return NOTHING
    marks: dict[ServerKey, Mark] = {each.port: each.key for each in there.direct_returns}
    addresses, serving = set(), set()
    for port, served in part.served.items():
        found = there.virtual_servers.get(marks.get(port, port))
        owner = found.owner if found else None
        if found is None or owner is None or owner.service != part.service or owner.kind == "NodePort":
            continue
        if served.held and port.address not in there.addresses:
            continue
        addresses.add(port.address)
        if any(each.weight for each in found.real_servers):
            serving.add(port.address)
    return Standing(frozenset(addresses), frozenset(serving))
