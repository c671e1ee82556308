"""The table of one family: from the hooks to each pod's rules in a number of steps that does not grow with the pods.

hook -> POLICY -> IN (and EG), as `side` writes them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from birdctl.addresses import Family, Prefix
from birdctl.netfilter.model import Chain, IpSet, Owner, Rule, SetMatch, SetType, Table
from birdctl.policies.compile.classes import Side
from birdctl.policies.compile.fixed import Fixed
from birdctl.policies.compile.names import CUT_SECONDS, POLICY, cut_set
from birdctl.policies.compile.side import SideWriter
from birdctl.policies.model import Direction

_NEW = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
HOOKS = (
    ("FORWARD", Rule(target=POLICY, extra=_NEW)),
    ("OUTPUT", Rule(target=POLICY, extra=(*_NEW, "-m", "addrtype", "!", "--src-type", "LOCAL"))),
)
"""A connection's later packets pass one rule. A pod's own node always reaches it: that is OUTPUT from a local address.
What else is in OUTPUT was redirected from a service's address to the pod.
"""


class TableWriter:
    """Writes the table of one family again and again; what leads to the same pods is kept."""

    def __init__(self, family: Family, fixed: Fixed) -> None:
        self._family = family
        self._writers = {direction: SideWriter(family, direction, fixed) for direction in Direction}

    def table(self, sides: Mapping[Direction, Side], closed: Sequence[Prefix]) -> tuple[Table, dict[str, IpSet]]:
        """The table, and the sets of this node's pods that it uses. In `closed` unknown addresses are refused."""
        order = (Direction.EGRESS, Direction.INGRESS)
        written = [self._writers[direction].write(sides[direction], closed) for direction in order]
        entries = [rule for each in written for rule in each.entries]
        if not entries:
            return Table(owner=Owner.POLICIES, family=self._family, hooks=(), chains={}), {}
        cut = self._cut()
        first = Rule(target="DROP", sets=(SetMatch(name=cut.name, directions="src,src,dst"),))
        chains = [*(chain for each in written for chain in each.chains), Chain(name=POLICY, rules=(first, *entries))]
        sets = [cut, *(ipset for each in written for ipset in each.sets)]
        by_name = {chain.name: chain for chain in chains}
        table = Table(owner=Owner.POLICIES, family=self._family, hooks=HOOKS, chains=by_name)
        return table, {ipset.name: ipset for ipset in sets}

    def _cut(self) -> IpSet:
        return IpSet(
            name=cut_set(self._family),
            type=SetType.IP_PORT_IP,
            family=self._family,
            entries=frozenset(),
            meaning="connections cut just now: responder, its port, initiator",
            timeout=CUT_SECONDS,
        )
