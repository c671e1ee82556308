"""What routing is told of programmed services: withdrawn at once, announced when it stands, held down in between."""

from __future__ import annotations

import math
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from birdctl.addresses import Address
from birdctl.cluster.events import Changed, Deleted, Event
from birdctl.cluster.programmed import ProgrammedService
from birdctl.cluster.store import Cluster
from birdctl.reconcile.announcing import NOTHING, Announcing, Standing

ONE, TWO = ip_address("192.0.2.1"), ip_address("192.0.2.2")
WEB = "default/web"
SERVES = Standing(frozenset({ONE}), frozenset({ONE}))
IDLE = Standing(frozenset({ONE}))


def serving(event: Event | None) -> set[str] | None:
    """What may be announced from now on; None: nothing is said."""
    match event:
        case None:
            return None
        case Deleted():
            return set()
        case Changed(object=ProgrammedService() as said):
            return set(map(str, said.serving))
    raise AssertionError(event)


def test_what_serves_is_announced_once() -> None:
    announcing = Announcing(5.0)
    assert serving(announcing.announce(WEB, SERVES, 0.0)) == {"192.0.2.1"}
    assert announcing.announce(WEB, SERVES, 1.0) is None


def test_what_is_to_fall_is_withdrawn_before_and_the_rest_stays() -> None:
    announcing = Announcing(5.0)
    both = frozenset({ONE, TWO})
    announcing.announce(WEB, Standing(both, both), 0.0)
    assert serving(announcing.withdraw(WEB, SERVES, 1.0)) == {"192.0.2.1"}
    assert announcing.announce(WEB, SERVES, 1.1) is None


def test_withdrawing_never_announces_what_is_new() -> None:
    announcing = Announcing(5.0)
    assert announcing.withdraw(WEB, SERVES, 0.0) is None


def test_an_address_comes_back_when_its_hold_down_is_over_and_not_before() -> None:
    announcing = Announcing(5.0)
    announcing.announce(WEB, SERVES, 0.0)
    assert serving(announcing.announce(WEB, IDLE, 10.0)) == set()
    assert announcing.announce(WEB, SERVES, 11.0) is None
    assert (announcing.recheck_at, list(announcing.due(14.9)), list(announcing.due(15.0))) == (15.0, [], [WEB])
    assert serving(announcing.announce(WEB, SERVES, 15.0)) == {"192.0.2.1"}
    assert announcing.recheck_at == math.inf


def test_it_tells_for_how_long_a_service_is_held_down() -> None:
    announcing = Announcing(5.0)
    announcing.announce(WEB, SERVES, 0.0)
    announcing.announce(WEB, IDLE, 10.0)
    assert announcing.held_down(10.0) == {}
    announcing.announce(WEB, SERVES, 11.0)
    assert (announcing.held_down(11.0), announcing.held_down(20.0)) == ({WEB: 4.0}, {WEB: 0.0})


def test_an_idle_address_is_answered_all_the_while() -> None:
    announcing = Announcing(5.0)
    announcing.announce(WEB, SERVES, 0.0)
    said = announcing.announce(WEB, IDLE, 1.0)
    assert isinstance(said, Changed)
    assert isinstance(said.object, ProgrammedService)
    assert said.object.addresses == {ONE}


def test_a_service_that_is_deleted_and_made_again_is_held_down_too() -> None:
    announcing = Announcing(5.0)
    announcing.announce(WEB, SERVES, 0.0)
    assert isinstance(announcing.withdraw(WEB, NOTHING, 1.0), Deleted)
    assert serving(announcing.announce(WEB, SERVES, 2.0)) == set()
    assert announcing.recheck_at == 6.0


def test_another_hold_down_counts_for_what_waits_already() -> None:
    announcing = Announcing(60.0)
    announcing.announce(WEB, SERVES, 0.0)
    announcing.announce(WEB, NOTHING, 1.0)
    assert serving(announcing.announce(WEB, SERVES, 2.0)) == set()
    announcing.hold_down = 5.0
    assert announcing.announce(WEB, SERVES, 5.9) is None
    assert announcing.recheck_at == 6.0
    assert serving(announcing.announce(WEB, SERVES, 6.0)) == {"192.0.2.1"}
    assert announcing.recheck_at == math.inf


def test_without_a_hold_down_it_comes_back_at_once() -> None:
    announcing = Announcing(0.0)
    announcing.announce(WEB, SERVES, 0.0)
    announcing.announce(WEB, NOTHING, 1.0)
    assert serving(announcing.announce(WEB, SERVES, 1.0)) == {"192.0.2.1"}


STANDINGS = st.sampled_from([NOTHING, IDLE, SERVES, Standing(frozenset({ONE, TWO}), frozenset({TWO}))])


SAYINGS = st.tuples(st.sampled_from([WEB, "default/api"]), st.booleans(), STANDINGS, st.floats(0, 4))


@given(st.lists(SAYINGS, max_size=30))
def test_nothing_is_announced_that_does_not_serve_or_is_held_down(
    sayings: list[tuple[str, bool, Standing, float]],
) -> None:
    announcing, cluster, now = Announcing(5.0), Cluster(), 0.0
    withdrawn: dict[tuple[str, Address], float] = {}
    for service, withdraws, standing, pause in sayings:
        now += pause
        before = announced(cluster, service)
        if event := (announcing.withdraw if withdraws else announcing.announce)(service, standing, now):
            cluster.apply(event)
        after = announced(cluster, service)
        assert after <= standing.serving
        assert all(now >= withdrawn.get((service, address), -math.inf) + 5.0 for address in after - before)
        withdrawn |= dict.fromkeys(((service, address) for address in before - after), now)
    assert {each.key: each for each in announcing.everything().objects} == dict(cluster.objects(ProgrammedService))


def announced(cluster: Cluster, service: str) -> frozenset[Address]:
    found = cluster.get(ProgrammedService, service)
    return found.serving if found else frozenset()
