"""What a pass over the services will do, in words and numbers, and when it refuses itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from birdctl.errors import InputError, UnsafePlan
from birdctl.reconcile.service_plan import ServicePlan, make_service_plan
from birdctl.services.model import Port, Protocol, RealServer, Scheduler, ServiceState, VirtualServer


def server(address: str, *endpoints: str, **fields: object) -> VirtualServer:
    key = Port(address=ip_address(address), protocol=Protocol.TCP, port=80)
    real = tuple(RealServer(address=ip_address(each), port=8080) for each in endpoints)
    return replace(VirtualServer(key=key, scheduler=Scheduler.RR, real_servers=real), **fields)


def state(*servers: VirtualServer) -> ServiceState:
    return ServiceState(
        virtual_servers={each.key: each for each in servers},
        addresses=frozenset(each.key.address for each in servers),
    )


ONE, TWO = server("192.0.2.1", "10.0.0.1"), server("192.0.2.2", "10.0.0.1", "10.0.0.2")


def planned(actual: ServiceState, desired: ServiceState) -> ServicePlan:
    return make_service_plan("a", actual, desired, (InputError("Service default/x", "spec", "is wrong"),))


def test_nothing_to_do_is_said() -> None:
    plan = planned(state(ONE), state(ONE))
    assert not plan.changes
    assert plan.text().splitlines() == [
        "a: nothing to do, the kernel has these services",
        "left out: Service default/x: spec: is wrong",
    ]


def test_what_comes_goes_and_changes_is_counted_and_named() -> None:
    new = server("192.0.2.3", "10.0.0.9")
    plan = planned(state(ONE, TWO), state(replace(ONE, real_servers=TWO.real_servers), new))
    assert plan.changes
    assert plan.document()["virtualServers"] == {
        "added": ("192.0.2.3:80/TCP",),
        "changed": ("192.0.2.1:80/TCP",),
        "removed": ("192.0.2.2:80/TCP",),
    }
    assert plan.document()["realServers"] == {"added": 2, "removed": 2}
    assert plan.document()["addresses"] == {"added": ("192.0.2.3",), "changed": (), "removed": ("192.0.2.2",)}
    assert "  virtual servers removed: 1 (192.0.2.2:80/TCP)" in plan.text().splitlines()


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": Scheduler.MH},
        {"persistence_seconds": 60},
        {"ours": False},
        {"real_servers": (RealServer(address=ip_address("10.0.0.1"), port=8080, weight=0),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_property_of_a_virtual_server_counts(change: dict[str, object]) -> None:
    assert planned(state(replace(ONE, **change)), state(ONE)).changes


def test_the_order_of_real_servers_does_not_count() -> None:
    turned = replace(TWO, real_servers=TWO.real_servers[::-1])
    assert not planned(state(turned), state(TWO)).changes


def test_others_virtual_servers_are_none_of_the_plan_s_business() -> None:
    foreign = server("198.51.100.1", "10.0.0.1", ours=False)
    actual = replace(state(ONE, foreign), addresses=state(ONE).addresses)
    assert not planned(actual, state(ONE)).changes


def test_emptying_a_node_is_refused_with_numbers() -> None:
    plan = planned(state(ONE, TWO), state())
    with pytest.raises(UnsafePlan, match="would remove all 2 virtual servers, 2 of them with endpoints"):
        plan.check()


@pytest.mark.parametrize(("actual", "desired"), [(state(), state()), (state(ONE, TWO), state(ONE))])
def test_anything_else_is_not(actual: ServiceState, desired: ServiceState) -> None:
    planned(actual, desired).check()
