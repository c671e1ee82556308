"""What policies cost the kernel for each connection and packet, against a node that has conntrack and no policies.

All nodes are there at once and take turns in random order, so that whatever slows the machine slows all of them; a
figure is the median of the rounds' own ratios. As in the comparison, CPU time of client and server is part of the cost
of both; the ratio of the kernel's part alone is shown too.
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from birdctl.addresses import Family
from birdctl.netfilter.iptables import Mode
from tests.bench.forwarding import Forwarding, pinned
from tests.bench.policy_objects import Size
from tests.bench.report import Measured, Row

_SIZES = {"A": Size(), "B": Size(local=250, policies=1_000)}
_ROUNDS = 15
_CONNECTIONS, _PACKETS = 4_000, 20_000
_NOTHING = "nothing"

Cost = Callable[[Forwarding], tuple[float, float]]
"""CPU seconds of one connection or packet, and how many of them are the program's own."""


@contextmanager
def _nodes(family: Family) -> Iterator[dict[str, Forwarding]]:
    """By what they have: nothing, conntrack alone, or policies too, in each mode of iptables."""
    made: dict[str, Forwarding] = {}

    def make(name: str, size: Size) -> Forwarding:
        made[name] = Forwarding(f"f{len(made)}", replace(size, family=family))
        return made[name]

    try:
        make(_NOTHING, _SIZES["A"])
        for (name, size), mode in itertools.product(_SIZES.items(), Mode):
            make(f"conntrack {name} {mode}", size).track_connections(mode)
            make(f"{name} {mode}", size).enforce(mode)
        yield made
    finally:
        for node in made.values():
            node.close()


def _measure(family: Family, cost: Cost) -> Measured:
    every: defaultdict[str, list[float]] = defaultdict(list)
    own: list[float] = []
    with pinned(), _nodes(family) as nodes:
        for _round in range(_ROUNDS + 1):
            for name in random.sample(sorted(nodes), len(nodes)):
                seconds, program = cost(nodes[name])
                every[name].append(seconds)
                own.append(program)
    whole = {name: seconds[1:] for name, seconds in every.items()}
    kernel = {name: [each - statistics.mean(own) for each in seconds] for name, seconds in whole.items()}
    names = [f"{name} {mode}" for name, mode in itertools.product(_SIZES, Mode)]
    alone = {name: _ratio(whole[name], whole[f"conntrack {name}"]) for name in names}
    inside = max(_ratio(kernel[name], kernel[f"conntrack {name}"]) for name in names)
    bare = max(_ratio(whole[name], whole[_NOTHING]) for name in names)
    shown = ", ".join(f"{name} {ratio:.3f}" for name, ratio in alone.items())
    return Measured(
        value=max(alone.values()),
        shown=f"{shown} (at most: in the kernel alone {inside:.2f}, against no conntrack {bare:.2f})",
        samples={**whole, "the program's own": own},
    )


def _ratio(seconds: list[float], base: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(seconds, base, strict=True))


def _connections(family: Family) -> Measured:
    return _measure(family, lambda node: node.connection_cost(_CONNECTIONS))


def _packets(family: Family) -> Measured:
    return _measure(family, lambda node: node.packet_cost(_PACKETS))


CONNECTION = Row(
    name="policies-connection",
    what="kernel CPU per new TCP connection, against conntrack alone, at A (as above) and B (250 pods, 1,000 policies)",
    peer="1.33-1.41, 1.8-2.0 (its layout rebuilt)",
    goal=1.05,
    goal_shown="<= 1.05 at both",
    measure=lambda _: _connections(Family.IPV4),
)
CONNECTION_IPV6 = Row(
    name="policies-connection-ipv6",
    what="the same over IPv6",
    peer="-",
    goal=CONNECTION.goal,
    goal_shown=CONNECTION.goal_shown,
    measure=lambda _: _connections(Family.IPV6),
)
PACKET = Row(
    name="policies-packet",
    what="kernel CPU per established packet, against conntrack alone, at A and B",
    peer="2.4-3.0, 6.6-8.4 (its layout rebuilt)",
    goal=1.5,
    goal_shown="<= 1.5 at both",
    measure=lambda _: _packets(Family.IPV4),
)
PACKET_IPV6 = Row(
    name="policies-packet-ipv6",
    what="the same over IPv6",
    peer="-",
    goal=PACKET.goal,
    goal_shown=PACKET.goal_shown,
    measure=lambda _: _packets(Family.IPV6),
)
