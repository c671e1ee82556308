"""A change costs its own service, whatever there is beside it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from birdctl.cluster.events import Changed
from birdctl.cluster.store import Cluster
from birdctl.services.compile import service as module
from tests.unit.services.compile.build import N1, N2, compiler, endpoints, node, port, service

SERVICES = 1000


def many():
    for number in range(SERVICES):
        yield service(
            f"s{number}", [str(ip_address("10.96.0.1") + number)], externalIPs=["198.51.100.1"] if number == 0 else []
        )
        yield endpoints(f"s{number}", *(f"10.{number // 250 + 2}.{number % 250}.{each} on=n2" for each in range(1, 11)))


@pytest.fixture
def loaded():
    cluster = Cluster.of(N1, N2, *many())
    cluster.take_dirty()
    compiling = compiler()
    return cluster, compiling, compiling.compile(cluster)


@pytest.fixture
def looked_at(monkeypatch):
    """The services that are looked at."""
    names = []
    genuine = module._Compilation
    monkeypatch.setattr(module, "_Compilation", lambda item, *rest: names.append(item.name) or genuine(item, *rest))
    return names


def test_a_slice_costs_its_own_service(loaded, looked_at):
    cluster, compiling, before = loaded
    cluster.apply(Changed(endpoints("s7", "10.9.9.9 on=n2")))
    after = compiling.compile(cluster, dirty=cluster.take_dirty())
    assert looked_at == ["s7"]
    assert after.touched == {port("10.96.0.8", 80)}
    assert [key for key, part in after.services.items() if part is not before.services[key]] == ["default/s7"]
    for unchanged in (
        "addresses",
        "vip_ports",
        "unserved",
        "inside_only",
        "hairpin",
        "health_checks",
        "pods",
        "direct_returns",
    ):
        assert getattr(after.state, unchanged) is getattr(before.state, unchanged)


def test_another_node_costs_the_services_with_external_addresses(loaded, looked_at):
    cluster, compiling, before = loaded
    cluster.apply(Changed(node("n3", "172.16.0.3", pods=["10.1.3.0/24"])))
    after = compiling.compile(cluster, dirty=cluster.take_dirty())
    assert looked_at == ["s0"]
    assert after.touched == frozenset()
    assert len(after.state.pods) == len(before.state.pods) + 1


def test_a_pod_costs_no_service(loaded, looked_at):
    cluster, compiling, _ = loaded
    after = compiling.compile(cluster, dirty={("Pod", "default/x"), ("Namespace", "default")})
    assert looked_at == []
    assert after.touched == frozenset()
