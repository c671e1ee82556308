"""What of a service works on this node, by what is in the kernel."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.reconcile.announcing import NOTHING, Standing
from birdctl.reconcile.standing import standing
from birdctl.services.compile import Served, ServicePart
from birdctl.services.model import Owner, Port, Protocol, RealServer, Scheduler, ServiceState, VirtualServer

ADDRESS = ip_address("192.0.2.1")
PORT = Port(address=ADDRESS, protocol=Protocol.TCP, port=80)
OWNER = Owner(service="default/web", port_name="", kind="ClusterIP", address=ADDRESS, protocol=Protocol.TCP, port=80)
REAL = RealServer(address=ip_address("10.0.0.1"), port=8080)
SERVER = VirtualServer(key=PORT, scheduler=Scheduler.RR, real_servers=(REAL,), owner=OWNER)
PART = ServicePart(service="default/web", served={PORT: Served(server=SERVER, held=True)})
THERE = ServiceState(virtual_servers={PORT: SERVER}, addresses=frozenset({ADDRESS}))
SERVES = Standing(frozenset({ADDRESS}), frozenset({ADDRESS}))
ANSWERS = Standing(frozenset({ADDRESS}))


def there(**change: object) -> ServiceState:
    return replace(THERE, virtual_servers={PORT: replace(SERVER, **change)})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (THERE, SERVES),
        (there(real_servers=()), ANSWERS),
        (there(real_servers=(replace(REAL, weight=0),)), ANSWERS),
        (there(owner=replace(OWNER, service="default/other")), NOTHING),
        (there(owner=replace(OWNER, kind="NodePort")), NOTHING),
        (replace(THERE, addresses=frozenset()), NOTHING),
        (replace(THERE, virtual_servers={}), NOTHING),
    ],
    ids=["all", "no endpoint", "it drains", "another's", "a node port", "address not held", "no virtual server"],
)
def test_an_address_serves_when_everything_it_takes_is_there(state: ServiceState, expected: Standing) -> None:
    assert standing(PART, state) == expected


def test_a_service_that_is_gone_has_nothing() -> None:
    assert standing(None, THERE) == NOTHING
