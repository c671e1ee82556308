"""What nobody wants any more stays until routing has withdrawn its address, and never for ever."""

from __future__ import annotations

import math
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.addresses import Address
from birdctl.reconcile.leaving import PATIENCE, Leaving
from birdctl.services.model import (
    DirectReturn,
    Owner,
    Port,
    Protocol,
    Scheduler,
    ServiceState,
    VirtualServer,
)


def port(address: str, number: int = 80) -> Port:
    return Port(address=ip_address(address), protocol=Protocol.TCP, port=number)


def server(key: Port) -> VirtualServer:
    owner = Owner(
        service="default/web",
        port_name="",
        kind="ClusterIP",
        address=key.address,
        protocol=key.protocol,
        port=key.port,
    )
    return VirtualServer(key=key, scheduler=Scheduler.RR, owner=owner)


def state(*ports: Port) -> ServiceState:
    return ServiceState(
        virtual_servers={each: server(each) for each in ports},
        addresses=frozenset(each.address for each in ports),
        vip_ports=frozenset(ports),
    )


class Routing:
    """What it announces now."""

    def __init__(self, *addresses: str) -> None:
        self.announced: set[Address] = set(map(ip_address, addresses))

    def __call__(self, address: Address) -> bool:
        return address in self.announced


WEB, API = port("192.0.2.1"), port("192.0.2.2")
BOTH = state(WEB, API)
EVERYTHING = frozenset({WEB, API})


def test_what_is_announced_stays_with_its_address_and_port() -> None:
    leaving = Leaving(Routing("192.0.2.1"))
    held, touched = leaving.hold(state(API), BOTH, EVERYTHING, 10.0)
    assert held == state(WEB, API)
    assert (len(leaving), leaving.is_over, leaving.recheck_at) == (1, False, 10.0 + PATIENCE)
    assert touched == EVERYTHING


def test_nothing_waits_for_what_others_made_or_what_has_gone() -> None:
    foreign, gone = replace(server(WEB), owner=None), port("192.0.2.1", 81)
    there = replace(BOTH, virtual_servers={WEB: foreign, API: server(API)})
    leaving = Leaving(Routing("192.0.2.1"))
    held, _ = leaving.hold(state(API), there, frozenset({WEB, gone}), 10.0)
    assert held == state(API)
    assert len(leaving) == 0


def test_it_falls_when_it_is_withdrawn() -> None:
    routing = Routing("192.0.2.1")
    leaving = Leaving(routing)
    held, _ = leaving.hold(state(API), BOTH, EVERYTHING, 10.0)
    routing.announced.clear()
    assert leaving.is_over
    after, touched = leaving.hold(state(API), held, frozenset(), 10.1)
    assert after == state(API)
    assert touched == {WEB}
    assert (len(leaving), leaving.recheck_at) == (0, math.inf)


def test_it_falls_in_any_case_when_routing_takes_too_long() -> None:
    leaving = Leaving(Routing("192.0.2.1"))
    held, _ = leaving.hold(state(API), BOTH, EVERYTHING, 10.0)
    assert leaving.hold(state(API), held, frozenset(), 10.0 + PATIENCE)[0] == state(API)


def test_it_does_not_begin_to_wait_anew_with_each_pass() -> None:
    leaving = Leaving(Routing("192.0.2.1"))
    there = BOTH
    for moment in (10.0, 11.0, 11.9):
        there, _ = leaving.hold(state(API), there, None, moment)
        assert WEB in there.virtual_servers
    assert leaving.recheck_at == 10.0 + PATIENCE


def test_what_comes_back_is_no_longer_on_its_way_out() -> None:
    leaving = Leaving(Routing("192.0.2.1"))
    leaving.hold(state(API), BOTH, EVERYTHING, 10.0)
    assert leaving.hold(state(WEB, API), BOTH, frozenset({WEB}), 10.5)[0] == state(WEB, API)
    assert len(leaving) == 0


def direct(state: ServiceState, key: Port) -> ServiceState:
    """With a virtual server for direct server return, too."""
    entry = DirectReturn(port=key, mark=7, local_pods=frozenset({ip_address("10.244.1.2")}))
    servers = {**state.virtual_servers, entry.key: replace(server(key), key=entry.key)}
    return replace(state, virtual_servers=servers, direct_returns=(entry,))


def test_direct_server_return_stays_whole_until_it_is_withdrawn() -> None:
    routing = Routing("192.0.2.1")
    leaving = Leaving(routing)
    there = direct(state(API), WEB)
    assert leaving.hold(state(API), there, None, 10.0) == (there, None)
    routing.announced.clear()
    assert leaving.hold(state(API), there, None, 10.1) == (state(API), None)


@pytest.mark.parametrize(
    ("desired", "routing"),
    [
        (state(API), Routing()),
        (state(API, port("192.0.2.1", 443)), Routing("192.0.2.1")),
        (direct(state(API), WEB), Routing("192.0.2.1")),
    ],
    ids=["not announced", "another port keeps the address", "direct server return keeps the address"],
)
def test_what_is_not_withdrawn_falls_at_once(desired: ServiceState, routing: Routing) -> None:
    leaving = Leaving(routing)
    assert leaving.hold(desired, BOTH, EVERYTHING, 10.0) == (desired, EVERYTHING)
    assert len(leaving) == 0


def test_only_what_is_touched_is_looked_at() -> None:
    leaving = Leaving(Routing("192.0.2.1"))
    desired = state(API)
    assert leaving.hold(desired, BOTH, frozenset({API}), 10.0) == (desired, frozenset({API}))
