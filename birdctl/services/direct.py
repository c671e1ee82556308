"""Direct server return: this node tunnels clients' packets to pods, which answer the clients themselves.

On the node, packets with a mark of ours are looked up in a table where every address is the node's own, so that they
reach IPVS although no VIP is on a device here: the pods' answers come from the VIP, and a node that has it would drop
them. In each pod a tunnel device ends the tunnel, and holds the VIPs.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress

from birdctl.addresses import Address, Family, family
from birdctl.errors import BackendError
from birdctl.netfilter import rtnetlink
from birdctl.netfilter.netlink import Message
from birdctl.netfilter.rtnetlink import PROTOCOL, RouteNetlink
from birdctl.services.model import DIRECT_MARK, DIRECT_MARK_MASK, DirectReturn
from birdctl.services.namespaces import other_kernels, own_number
from birdctl.services.tunnel_ends import Vips, align

TABLE = PRIORITY = PROTOCOL
"""One number for the table, its rule's priority, and the mark of both that they are ours."""
_LOOPBACK = 1
_NOT_FOUND = (
    "its network namespace is not found: give the agent CAP_SYS_ADMIN, and the host's processes (hostPID) or /run/netns"
)


class DirectReturns:
    """Of this network namespace; `close` it in the end."""

    def __init__(self) -> None:
        self._kernel = RouteNetlink("direct server return")
        self._done: Vips | None = None

    def close(self) -> None:
        self._kernel.close()

    def apply(self, wanted: Collection[DirectReturn], *, verify: bool = False) -> dict[Address, str]:
        """Makes the node's part and the pods' what is wanted. The pods for which it failed, with the reason; the next
        call tries again. `verify`: also where nothing changed since the last call.

        Raises BackendError when the node's part cannot be made.
        """
        families = {family(each.port.address) for each in wanted}
        vips = _by_pod(wanted)
        leftover = any(self._kernel.has_rule(each, PRIORITY) for each in Family)
        self._kernel.do([message for each in families for message in _node_part(each)], errno.EEXIST)
        refused: dict[Address, str] = {}
        if (vips or leftover) and (verify or vips != self._done):
            refused = _in_pods(vips)
        gone = [message for each in Family if each not in families for message in _without_node_part(each)]
        self._kernel.do(gone, errno.ENOENT, errno.ESRCH)
        self._done = None if refused else vips
        return refused


def _by_pod(wanted: Collection[DirectReturn]) -> Vips:
    vips: dict[Address, set[Address]] = defaultdict(set)
    for each in wanted:
        for pod in each.local_pods:
            vips[pod].add(each.port.address)
    return {pod: frozenset(held) for pod, held in vips.items()}


def _node_part(of: Family) -> tuple[Message, ...]:
    return (
        rtnetlink.new_local_default(of, TABLE, _LOOPBACK),
        rtnetlink.new_mark_rule(of, PRIORITY, DIRECT_MARK, DIRECT_MARK_MASK, TABLE),
    )


def _without_node_part(of: Family) -> tuple[Message, ...]:
    return (
        rtnetlink.delete_mark_rule(of, PRIORITY, DIRECT_MARK, DIRECT_MARK_MASK, TABLE),
        rtnetlink.delete_local_default(of, TABLE, _LOOPBACK),
    )


def _in_pods(vips: Vips) -> dict[Address, str]:
    """Looks into every namespace: a pod may have a tunnel end of ours and be no endpoint any more."""
    owner = f"birdctl {own_number()}"
    refused = dict.fromkeys(vips, _NOT_FOUND)
    for kernel in other_kernels():
        with suppress(BackendError):  # it may go any time
            refused.update(align(kernel, vips, owner))
    return {pod: reason for pod, reason in refused.items() if reason}
