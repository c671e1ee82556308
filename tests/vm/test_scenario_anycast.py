"""containerlab/anycast: one address on three nodes, ECMP to them, IPVS on them, and a client outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.labs import SCENARIOS, Lab, running
from tests.polling import eventually

NODES = ("node1", "node2", "node3")
TORS = ("tor1", "tor2")
FLOWS, WEB = "203.0.113.10", "203.0.113.11"
COUNT = 60
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running("anycast", tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(_lab: Lab) -> Lab:
    """As it was in the beginning: every session is Established, every address on every ToR, and every pod answers."""
    put_back(_lab)
    nodes = [word for node in NODES for word in ("--node", node)]
    done = _lab.birdctl("wait", "--for", "established", "--timeout", "60s", "--lab", _lab.name, *nodes)
    assert done.returncode == 0, done.stdout + done.stderr
    for tor, address in ((tor, address) for tor in TORS for address in (FLOWS, WEB)):
        eventually(lambda: announcing(_lab, tor, address) == set(NODES), 60)  # noqa: B023 - called here
    eventually(lambda: set(fetched(_lab, 12)) == set(NODES), 60)
    return _lab


def put_back(lab: Lab) -> None:
    """Undoes what a test may have done to endpoints, links and agents."""
    services = (SCENARIOS / "anycast/manifests/services.yaml").read_text()
    lab.rewrite("services.yaml", lambda _: services)
    for node in NODES:
        for link in ("eth1", "eth2"):
            lab.run(node, "ip", "link", "set", link, "up")
        if not lab.succeeds(node, "pgrep", "-f", "birdctl agent"):
            lab.run(node, "sh", "/start.sh", node, "--run-service-proxy")


def announcing(lab: Lab, tor: str, address: str) -> set[str]:
    """The nodes to which a ToR sends packets for an address."""
    hops = lab.kernel(tor).get(address, set())
    return {f"node{hop[-1]}" for hop in hops}


def flows(lab: Lab, seconds: float, meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
    """What becomes of long-lived connections to FLOWS while something happens, a moment after they began."""
    process = lab.start("client", "python3", "/flows.py", "open", FLOWS, "7", str(COUNT), str(seconds))
    try:
        if meanwhile:
            eventually(lambda: established(lab) >= COUNT, 60, pause=0.2)
            meanwhile()
        output, _ = process.communicate(timeout=seconds + 120)
    finally:
        process.kill()
    found: dict[str, Any] = json.loads(output)
    return found


def established(lab: Lab) -> int:
    return len(lab.run("client", "ss", "-Htn", "state", "established", "dst", FLOWS).splitlines())


def fetched(lab: Lab, times: int) -> list[str]:
    return [lab.fetch("client", WEB, pod=False) for _ in range(times)]


def endpoint(node: str, conditions: str) -> str:
    return f"  - {{addresses: [10.244.{node[-1]}.2], nodeName: {node}, conditions: {{{conditions}}}}}\n"


def with_endpoint(lab: Lab, service: str, node: str, conditions: str | None) -> None:
    """Says of one endpoint of a service that it is ready, terminating or (None) not there."""
    documents = (lab.manifests / "services.yaml").read_text().split("---\n")
    index = next(at for at, text in enumerate(documents) if f"name: {service}-1," in text)
    kept = [line for line in documents[index].splitlines(keepends=True) if f"nodeName: {node}," not in line]
    documents[index] = "".join([*kept, endpoint(node, conditions) if conditions else ""])
    lab.rewrite("services.yaml", lambda _: "---\n".join(documents))


READY, LEAVING = "ready: true", "ready: false, serving: true, terminating: true"


def test_connections_are_spread_over_all_pods_whichever_node_they_come_through(lab: Lab) -> None:
    found = flows(lab, 5)
    assert found["broken"] == 0
    assert set(found["answered"]) == set(NODES)


def test_every_node_shows_the_same_virtual_servers(lab: Lab) -> None:
    shown = {(each["node"], each["name"]): each for each in lab.show("services") if each["kind"] == "LoadBalancerIP"}
    assert shown.keys() == {(node, name) for node in NODES for name in ("flows", "web")}
    for node in NODES:
        found = shown[node, "flows"]
        assert (found["forwarding"], found["scheduler"], found["address"]) == ("tunnel", "mh", FLOWS)
        assert {each["address"] for each in found["realServers"]} == {f"10.244.{number}.2" for number in (1, 2, 3)}
        assert set(found["advertisedTo"]) == set(TORS)


def test_connections_outlive_the_node_they_came_through(lab: Lab) -> None:
    """Only those whose pod was on the lost node break."""

    def lose() -> None:
        for link in ("eth1", "eth2"):
            lab.run("node3", "ip", "link", "set", link, "down")
        for tor in TORS:
            eventually(lambda: announcing(lab, tor, FLOWS) == {"node1", "node2"})  # noqa: B023 - called here

    steady = flows(lab, 5)["answered"]
    found = flows(lab, 20, lose)
    print(f"a node of three lost, {COUNT} connections: {found}, before {steady}")
    assert set(found["answered"]) == {"node1", "node2"}
    assert found["broken"] <= steady["node3"] + COUNT // 5, (steady, found)
    assert found["answered"]["node1"] + found["answered"]["node2"] == COUNT - found["broken"]


def test_an_agent_that_is_killed_breaks_nothing(lab: Lab) -> None:
    def kill() -> None:
        lab.run("node1", "kill", "-9", lab.agent("node1"))

    assert flows(lab, 15, kill)["broken"] == 0
    assert announcing(lab, "tor1", FLOWS) == set(NODES)


def test_a_node_without_an_endpoint_announces_a_local_service_no_longer_and_nothing_is_lost(lab: Lab) -> None:
    assert set(fetched(lab, 12)) <= set(NODES)
    with_endpoint(lab, "web", "node1", None)
    eventually(lambda: announcing(lab, "tor1", WEB) == {"node2", "node3"})
    eventually(lambda: announcing(lab, "tor2", WEB) == {"node2", "node3"})
    assert announcing(lab, "tor1", FLOWS) == set(NODES)
    assert set(fetched(lab, 12)) <= {"node2", "node3"}


def test_a_leaving_endpoint_keeps_its_connections_and_gets_no_new_ones(lab: Lab) -> None:
    def leave() -> None:
        with_endpoint(lab, "flows", "node2", LEAVING)

    assert flows(lab, 15, leave)["broken"] == 0
    assert set(flows(lab, 3)["answered"]) == {"node1", "node3"}
    with_endpoint(lab, "flows", "node2", READY)
    eventually(lambda: "node2" in flows(lab, 2)["answered"], 60)


def test_a_rolling_update_of_a_local_service_loses_next_to_nothing(lab: Lab) -> None:
    """Each endpoint leaves, goes and comes back, while one request follows the other.

    A request is lost only when a ToR spreads anew between its first packet and its last: one at most each time.
    """
    times = 2 * len(NODES) * len(TORS)
    process = lab.start("client", "python3", "/flows.py", "fetch", WEB, "80", "25")
    try:
        for node in NODES:
            with_endpoint(lab, "web", node, LEAVING)
            eventually(lambda: announcing(lab, "tor1", WEB) == set(NODES) - {node})  # noqa: B023 - called here
            with_endpoint(lab, "web", node, None)
            with_endpoint(lab, "web", node, READY)
            eventually(lambda: announcing(lab, "tor1", WEB) == set(NODES))
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    found = json.loads(output)
    print(f"a rolling update: {found}")
    assert set(found["answered"]) == set(NODES)
    assert found["broken"] <= times
