"""Graceful termination: who stays for how long, and what a new agent makes of what it finds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdctl.services.draining import Draining
from birdctl.services.model import Connections, Scheduler
from birdctl.services.options import ServiceOptions
from tests.unit.services.servers import DNS, KEYS, MARK, WEB, by_key, real, server, servers

A, B = real("10.2.0.1 8080"), real("10.2.0.2 8080")
IDLE_A = real("10.2.0.1 8080", weight=0)
OPTIONS = ServiceOptions(ipvs_graceful_period=30.0)
NONE, BUSY, CLOSING = Connections(), Connections(active=1), Connections(inactive=1)


class Node:
    """Takes every step at once, as a kernel that refuses nothing."""

    def __init__(self, *known, options=OPTIONS):
        self.known = by_key(*known)
        self.draining = Draining(options)

    def step(self, *desired, now=0.0, of_a=None, grace=None, touched=None):
        """The real servers of the first desired virtual server after a step. `of_a` are the connections of A."""
        connections = {key: {A.endpoint: of_a} for key in self.known} if of_a else {}
        self.known, self.again = self.draining.step(
            by_key(*desired), self.known, connections, grace or {}, now, touched=touched
        )
        return self.known[desired[0].key].real_servers


def test_an_endpoint_that_vanishes_gets_weight_0_first():
    node = Node(server(WEB, A, B))
    assert node.step(server(WEB, B), of_a=NONE) == (B, IDLE_A)
    assert (node.draining.due(0.9), node.draining.due(1.0)) == (frozenset(), {WEB})
    assert node.again == 1.0


def test_it_goes_when_its_connections_have_ended():
    node = Node(server(WEB, A, B))
    node.step(server(WEB, B))
    for connections in (BUSY, CLOSING):
        assert node.step(server(WEB, B), now=1.0, of_a=connections) == (B, IDLE_A)
    assert node.step(server(WEB, B), now=2.0, of_a=NONE) == (B,)
    assert (node.again, node.draining.due(100.0)) == (None, frozenset())


@pytest.mark.parametrize(
    ("grace", "period"), [({}, 30.0), ({A.address: 5.0}, 5.0), ({A.address: 90.0}, 90.0), ({B.address: 5.0}, 30.0)]
)
def test_it_goes_when_its_period_is_over_the_pods_own_if_there_is_one(grace, period):
    node = Node(server(WEB, A, B))
    node.step(server(WEB, B), grace=grace, now=100.0)
    assert node.step(server(WEB, B), grace=grace, now=99.5 + period, of_a=BUSY) == (B, IDLE_A)
    assert node.again == 100.0 + period
    assert node.step(server(WEB, B), grace=grace, now=100.0 + period, of_a=BUSY) == (B,)


def test_it_stays_while_nobody_knows_its_connections():
    node = Node(server(WEB, A))
    for now in (0.0, 10.0, 29.0):
        assert node.step(server(WEB), now=now) == (IDLE_A,)


def test_a_terminating_endpoint_drains_and_goes_though_it_is_still_named():
    node = Node(server(WEB, A, B))
    assert node.step(server(WEB, IDLE_A, B)) == (IDLE_A, B)
    assert node.step(server(WEB, IDLE_A, B), now=1.0, of_a=NONE) == (B,)
    assert node.step(server(WEB, IDLE_A, B), now=2.0) == (B,)
    assert node.step(server(WEB, IDLE_A, B), server(DNS), now=3.0, touched={DNS}) == (B,)


def test_a_terminating_endpoint_is_looked_after_though_nothing_changes():
    node, desired = Node(server(WEB, A, B)), server(WEB, IDLE_A, B)
    node.step(desired, touched={WEB})
    assert node.step(desired, now=29.0, touched=()) == (IDLE_A, B)
    assert node.step(desired, now=30.0, touched=()) == (B,)


def test_a_terminating_endpoint_that_was_never_there_does_not_come():
    assert Node().step(server(WEB, IDLE_A, B)) == (B,)


def test_it_comes_back_at_once():
    node = Node(server(WEB, A, B))
    node.step(server(WEB, B))
    assert node.step(server(WEB, A, B), now=1.0, of_a=BUSY) == (A, B)
    assert node.again is None


def test_a_second_drain_begins_anew():
    node = Node(server(WEB, A, B))
    node.step(server(WEB, B), now=0.0)
    node.step(server(WEB, A, B), now=20.0)
    node.step(server(WEB, B), now=25.0)
    assert node.step(server(WEB, B), now=54.0, of_a=BUSY) == (B, IDLE_A)
    assert node.step(server(WEB, B), now=55.0, of_a=BUSY) == (B,)


def test_what_an_agent_finds_draining_at_its_start_it_goes_on_with():
    node = Node(server(WEB, IDLE_A, B))
    assert node.step(server(WEB, B), now=1000.0) == (B, IDLE_A)
    assert node.step(server(WEB, B), now=1001.0, of_a=BUSY) == (B, IDLE_A)
    assert node.step(server(WEB, B), now=1030.0, of_a=BUSY) == (B,)


def test_an_endpoint_drains_in_each_virtual_server_for_itself():
    node = Node(server(WEB, A), server(MARK, A))
    node.step(server(WEB), server(MARK, A), now=0.0)
    node.step(server(WEB), server(MARK), now=10.0)
    assert node.step(server(WEB), server(MARK), now=30.0, of_a=BUSY) == ()
    assert node.known[MARK].real_servers == (IDLE_A,)


def test_one_of_udp_that_nobody_names_goes_at_once():
    assert Node(server(DNS, A, B)).step(server(DNS, B)) == (B,)


def test_one_that_the_scheduler_would_go_on_to_choose_goes_at_once():
    assert Node(server(WEB, A, B)).step(server(WEB, B, scheduler=Scheduler.DH)) == (B,)
    assert Node(server(WEB, A, B)).step(server(WEB, IDLE_A, B, scheduler=Scheduler.DH)) == (B,)


def test_one_of_udp_that_terminates_drains():
    assert Node(server(DNS, A, B)).step(server(DNS, IDLE_A, B)) == (IDLE_A, B)


def test_a_virtual_server_that_goes_takes_its_endpoints_with_it():
    node = Node(server(WEB, A), server(DNS))
    node.step(server(DNS), server(WEB))
    node.step(server(DNS), now=1.0)
    assert node.known.keys() == {DNS}
    assert node.again is None


@pytest.mark.parametrize("desired", [(B,), (IDLE_A, B)], ids=["unnamed", "terminating"])
def test_without_graceful_termination_nothing_stays(desired):
    node = Node(server(WEB, A, B), options=replace(OPTIONS, ipvs_graceful_termination=False))
    assert node.step(server(WEB, *desired), grace={A.address: 60.0}) == (B,)
    assert node.again is None


def test_what_does_not_change_stays_the_same_object():
    node = Node(server(WEB, A), server(DNS, B))
    desired = server(WEB, A)
    node.step(desired, server(DNS))
    assert node.known[WEB] is desired


def test_one_that_changes_again_and_again_is_looked_at_no_later():
    node = Node(server(WEB, A, B))
    node.step(server(WEB, B), now=0.0)
    for now in (0.5, 0.9):
        node.step(server(WEB, B, real(f"10.2.0.{now * 10:.0f} 8080")), now=now, touched={WEB})
        assert (node.again, node.draining.due(0.9)) == (1.0, frozenset())


CONNECTIONS = st.sampled_from((None, NONE, BUSY, CLOSING))
HISTORIES = st.lists(
    st.tuples(servers(), st.frozensets(st.sampled_from(KEYS)), st.floats(0.1, 20.0), CONNECTIONS),
    min_size=1,
    max_size=6,
)
GRACE = st.dictionaries(st.sampled_from([ip_address(f"10.2.0.{number}") for number in (1, 2, 3)]), st.floats(0.0, 60.0))


def walk(node, history, grace, *, hinted=False):
    """The state before and after each step of a history, with the time and the connections of everything."""
    now, before = 0.0, {}
    for drawn, staying, seconds, found in history:
        now += seconds
        desired = {key: before.get(key, each) if key in staying else each for key, each in drawn.items()}
        known = node.known
        looked_at = node.draining.due(now) & known.keys()
        connections = {key: {real.endpoint: found for real in known[key].real_servers} for key in looked_at}
        touched = [key for key in KEYS if desired.get(key) != before.get(key)] if hinted else None
        node.known, node.again = node.draining.step(
            desired, known, connections if found else {}, grace, now, touched=touched
        )
        before = desired
        yield desired, known, now, found


@given(history=HISTORIES, grace=GRACE)
def test_everything_desired_is_there_and_everything_else_was_there_and_is_idle(history, grace):
    node = Node()
    for desired, known, _, _ in walk(node, history, grace):
        assert node.known.keys() == desired.keys()
        for key, each in desired.items():
            wanted = {real.endpoint: real for real in each.real_servers if real.weight}
            there = {real.endpoint: real for real in node.known[key].real_servers}
            assert {endpoint: there.get(endpoint) for endpoint in wanted} == wanted
            others = there.keys() - wanted.keys()
            assert not any(there[endpoint].weight for endpoint in others)
            assert others <= {real.endpoint for real in known[key].real_servers} if others else True


def draining(servers):
    return {(key, real.endpoint) for key, each in servers.items() for real in each.real_servers if not real.weight}


def named(servers):
    return {(key, real.endpoint) for key, each in servers.items() for real in each.real_servers}


@given(history=HISTORIES, grace=GRACE)
def test_who_drains_goes_when_the_period_is_over_and_not_before_while_in_use(history, grace):
    node, since = Node(), {}
    for desired, known, now, found in walk(node, history, grace):
        idle = draining(node.known)
        since = {each: since.get(each, now) for each in idle | draining(known)}
        over = {each for each in since if now >= since[each] + grace.get(each[1][0], 30.0)}
        assert not idle & over
        gone = draining(known) - named(node.known)
        excused = {
            each
            for each in gone
            if each[0] not in desired
            or desired[each[0]].scheduler is Scheduler.DH
            or (each[0] == DNS and each not in named(desired))
        }
        assert found is not BUSY or gone - excused <= over
        since = {each: since[each] for each in idle}


@given(history=HISTORIES, grace=GRACE)
def test_it_says_when_to_look_again_as_long_as_somebody_drains(history, grace):
    node = Node()
    for _, _, now, _ in walk(node, history, grace):
        idle = {key for key, _ in draining(node.known)}
        assert node.draining.due(now + 1.0) == idle
        assert (now < node.again <= now + 1.0) if idle else node.again is None


@given(history=HISTORIES, grace=GRACE)
def test_looking_only_at_what_was_touched_gives_the_same(history, grace):
    full, hinted = Node(), Node()
    for _ in zip(walk(full, history, grace), walk(hinted, history, grace, hinted=True), strict=True):
        assert (full.known, full.again) == (hinted.known, hinted.again)


@given(history=HISTORIES, grace=GRACE)
def test_an_agent_that_starts_anew_lets_everybody_drain_who_did(history, grace):
    node = Node()
    for desired, _, now, _ in walk(node, history, grace):
        found = {key: msgspec.structs.replace(each, owner=None) for key, each in node.known.items()}
        again, _ = Draining(OPTIONS).step(desired, found, {}, {}, now)
        assert again == node.known
