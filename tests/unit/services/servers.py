"""Virtual servers for tests, by few words, and drawn at random."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec
from hypothesis import strategies as st

from birdctl.addresses import Family
from birdctl.services.model import (
    Forwarding,
    Mark,
    Port,
    Protocol,
    RealServer,
    Scheduler,
    SchedulerFlag,
    VirtualServer,
)

WEB = Port(address=ip_address("10.96.0.1"), protocol=Protocol.TCP, port=80)
DNS = Port(address=ip_address("10.96.0.10"), protocol=Protocol.UDP, port=53)
SIX = Port(address=ip_address("2001:db8::1"), protocol=Protocol.SCTP, port=443)
MARK = Mark(mark=0x0D000007, family=Family.IPV4)
MARK_SIX = Mark(mark=0x0D000007, family=Family.IPV6)
KEYS = (WEB, DNS, SIX, MARK, MARK_SIX)


def real(text, weight=1):
    """`address port`."""
    address, port = text.split()
    return RealServer(address=ip_address(address), port=int(port), weight=weight)


def server(key, *real_servers, scheduler=Scheduler.RR, **fields):
    return VirtualServer(key=key, scheduler=scheduler, real_servers=real_servers, **fields)


def by_key(*servers):
    return {each.key: each for each in servers}


def _reals(family):
    text = "10.2.0.{}" if family is Family.IPV4 else "2001:db8:2::{}"
    endpoints = st.tuples(st.integers(1, 3).map(lambda number: ip_address(text.format(number))), st.integers(80, 81))
    return st.dictionaries(endpoints, st.integers(0, 2), max_size=4).map(
        lambda found: tuple(
            RealServer(address=address, port=port, weight=weight) for (address, port), weight in sorted(found.items())
        )
    )


@st.composite
def servers(draw, keys=KEYS):
    """Any of the keys, each as any virtual server."""
    chosen = draw(st.sets(st.sampled_from(keys)))
    return {key: draw(_server(key)) for key in sorted(chosen, key=keys.index)}


def _server(key):
    return st.builds(
        VirtualServer,
        key=st.just(key),
        scheduler=st.sampled_from(Scheduler),
        flags=st.frozensets(st.sampled_from(SchedulerFlag)),
        persistence_seconds=st.sampled_from((0, 60, 10800)),
        forwarding=st.sampled_from((Forwarding.MASQUERADE, Forwarding.TUNNEL)),
        real_servers=_reals(key.family),
    )


def as_read(servers):
    """As the kernel tells them: endpoints in numeric order, and how packets get there only where there are some."""
    return {
        key: msgspec.structs.replace(
            each,
            forwarding=each.forwarding if each.real_servers else Forwarding.MASQUERADE,
            real_servers=tuple(sorted(each.real_servers, key=lambda real: real.endpoint)),
        )
        for key, each in servers.items()
    }
