"""What load balancers outside are told on healthCheckNodePort."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from birdctl.services.healthchecks import HealthCheckServer
from birdctl.services.model import HealthCheck


@pytest.fixture
def server() -> Iterator[HealthCheckServer]:
    server = HealthCheckServer()
    yield server
    server.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def ask(port: int, host: str = "127.0.0.1") -> tuple[int, dict[str, object], dict[str, str]]:
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())
    finally:
        connection.close()


def check(endpoints: int) -> HealthCheck:
    return HealthCheck(service="default/web", local_endpoints=endpoints)


@pytest.mark.parametrize(
    ("endpoints", "healthy", "status"), [(2, True, 200), (0, True, 503), (2, False, 503), (0, False, 503)]
)
def test_a_node_with_endpoints_and_a_working_proxy_takes_traffic(
    server: HealthCheckServer, port: int, endpoints: int, healthy: bool, status: int
) -> None:
    assert server.update({port: check(endpoints)}, healthy=healthy) == {}
    found, body, headers = ask(port)
    assert found == status
    assert body == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": healthy,
    }
    assert headers["X-Load-Balancing-Endpoint-Weight"] == str(endpoints)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_answers_on_addresses_of_both_families(server: HealthCheckServer, port: int, host: str) -> None:
    server.update({port: check(1)}, healthy=True)
    assert ask(port, host)[0] == 200


def test_an_answer_follows_its_service_without_a_new_listener(server: HealthCheckServer, port: int) -> None:
    server.update({port: check(1)}, healthy=True)
    server.update({port: check(0)}, healthy=True)
    assert ask(port)[0] == 503


def test_the_port_is_free_again_when_its_service_is_gone(server: HealthCheckServer, port: int) -> None:
    server.update({port: check(1)}, healthy=True)
    server.update({}, healthy=True)
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_port_that_somebody_has_is_told_and_costs_no_other(server: HealthCheckServer, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = int(other.getsockname()[1])
        assert server.update({taken: check(1), port: check(1)}, healthy=True) == {taken: "Address already in use"}
    assert ask(port)[0] == 200


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: HealthCheckServer, port: int) -> None:
    server.update({port: check(1)}, healthy=True)
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET / HT")
        assert ask(port)[0] == 200
