"""What an agent writes about its node, and which changes are worth a write."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from birdctl.cluster.bgp import BGPPeer
from birdctl.cluster.objects import Node, Object, Service
from birdctl.errors import InputError
from birdctl.observe.problems import Reference, reference
from birdctl.observe.state import State
from birdctl.observe.status import essence, node_annotations, node_state
from birdctl.routing.inventory import Inventory
from tests.unit.observe.states import state

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def changed(**changes: Any) -> State:
    """`state()` with another routing."""
    return State(node="a", routing=replace(state().routing, **changes))


def test_the_node_is_annotated_with_its_asn_its_peers_asns_and_how_many_are_up() -> None:
    assert node_annotations(state().routing) == {
        "birdctl.io/asn": "64512",
        "birdctl.io/peer-asns": "64512,65001",
        "birdctl.io/bgp-state": "1/2",
    }


def test_a_node_without_sessions_has_no_asn_to_tell() -> None:
    alone = replace(state().routing, inventory=Inventory(node="a", digest="d", version=(), router_id=""), sight=None)
    assert node_annotations(alone) == {"birdctl.io/peer-asns": "", "birdctl.io/bgp-state": "0/0"}


def test_the_node_state_shows_peers_as_show_does() -> None:
    status = node_state(state(), {}, NOW)
    assert [each["peer"] for each in status["peers"]] == ["b", "tor"]
    assert status["established"] == "1/2"
    assert status["bird"] == {"version": "2.0.12", "routerId": "192.0.2.1", "uptimeSeconds": 60, "configDigest": "d"}


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    before = node_state(state(), {}, EARLIER)
    same = node_state(state(), before, NOW)
    assert {each["lastTransitionTime"] for each in same["conditions"]} == {EARLIER}
    turned = node_state(State(node="a", routing=replace(state().routing, error="BIRD refused")), before, NOW)
    conditions = {each["type"]: each for each in turned["conditions"]}
    assert conditions["Converged"]["lastTransitionTime"] == NOW
    assert conditions["Converged"]["message"] == "BIRD refused"
    assert conditions["Healthy"]["lastTransitionTime"] == EARLIER


def test_conditions_say_why_they_do_not_hold() -> None:
    def messages(state: State) -> list[str]:
        return [each["message"] for each in node_state(state, {}, NOW)["conditions"]]

    assert messages(changed(last_sync=1.0)) == ["", "0 of 2 sessions carry their routes"]
    assert messages(changed(dirty=True, last_sync=1.0))[0] == "a change is on its way to the node"
    assert messages(changed(synced=False)) == [
        "the source is not read completely yet",
        "waiting for the first complete sync",
    ]
    assert messages(changed(running=None, bird_error="BIRD died", sight=None)) == ["BIRD died", "BIRD died"]


def test_what_is_not_known_of_a_bird_that_is_gone_is_taken_back() -> None:
    assert node_state(changed(sight=None), {}, NOW)["bird"] is None


@pytest.mark.parametrize(
    ("later", "worth", "worth_with_counts"),
    [
        ({}, False, False),
        ({"uptime": 500}, False, False),
        ({"received": 9}, False, True),
        ({"tor": "Established"}, True, True),
    ],
)
def test_uptimes_are_not_worth_a_write_and_counts_only_once_in_a_while(
    later: dict[str, Any], worth: bool, worth_with_counts: bool
) -> None:
    before, after = node_state(state(), {}, NOW), node_state(state(**later), {}, NOW)
    assert (essence(before, counts=False) != essence(after, counts=False)) is worth
    assert (essence(before, counts=True) != essence(after, counts=True)) is worth_with_counts


@pytest.mark.parametrize(
    ("origin", "type_", "namespace", "name"),
    [
        ("BGPPeer tor1", BGPPeer, "", "tor1"),
        ("Service default/web", Service, "default", "web"),
        ("manifests/a.yaml: Node a", Node, "", "a"),
    ],
)
def test_an_error_leads_to_its_object(origin: str, type_: type[Object], namespace: str, name: str) -> None:
    assert reference(InputError(origin, "spec", "is wrong")) == Reference(type_, namespace, name)


@pytest.mark.parametrize("origin", ["--cluster-asn", "a.yaml", "Deployment default/web", ""])
def test_an_error_of_a_setting_leads_to_none(origin: str) -> None:
    assert reference(InputError(origin, "", "is wrong")) is None


def test_the_essence_keeps_everything_else() -> None:
    value: dict[str, Any] = {"a": [{"uptimeSeconds": 1, "b": {"families": 2, "c": 3}}]}
    assert essence(value, counts=True) == {"a": [{"b": {"families": 2, "c": 3}}]}
    assert essence(value, counts=False) == {"a": [{"b": {"c": 3}}]}
