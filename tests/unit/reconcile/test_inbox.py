"""The loop's inbox, and the pauses between its tries."""

from __future__ import annotations

import select
import threading

from hypothesis import given
from hypothesis import strategies as st

from birdctl.cluster.events import Deleted, Replaced
from birdctl.cluster.objects import Node, Object, Service
from birdctl.reconcile.backoff import Backoff
from birdctl.reconcile.inbox import Arrived, Call, Inbox


def readable(inbox: Inbox) -> bool:
    return bool(select.select([inbox.fileno()], [], [], 0)[0])


def test_messages_come_out_in_the_order_of_posting_and_once() -> None:
    inbox = Inbox()
    first, second = Call(lambda: None), Call(lambda: None)
    inbox.post(first)
    inbox.post(second)
    assert inbox.take() == [first, second]
    assert inbox.take() == []


def test_it_is_readable_exactly_while_it_holds_something() -> None:
    inbox = Inbox([Node])
    assert not readable(inbox)
    inbox.emit(Deleted(Node, "a"))
    assert readable(inbox)
    (arrived,) = inbox.take()
    assert isinstance(arrived, Arrived)
    assert arrived.event == Deleted(Node, "a")
    assert not readable(inbox)


def test_it_takes_events_of_its_kinds_and_of_texts_without_one() -> None:
    inbox = Inbox([Node])
    for event in (Deleted(Node, "a"), Deleted(Service, "x/b"), Replaced(Object)):
        inbox.emit(event)
    assert [each.event for each in inbox.take()] == [Deleted(Node, "a"), Replaced(Object)]


def test_it_can_be_woken_without_a_message() -> None:
    inbox = Inbox()
    inbox.wake()
    assert readable(inbox)
    assert inbox.take() == []
    assert not readable(inbox)


def test_nothing_is_lost_between_threads() -> None:
    inbox = Inbox([Node])
    threads = [threading.Thread(target=lambda: [inbox.emit(Deleted(Node, "a")) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = 0
    while taken < 2000:
        select.select([inbox.fileno()], [], [], 5)
        taken += len(inbox.take())
    for thread in threads:
        thread.join()
    assert taken == 2000


@given(first=st.floats(0.01, 1), factor=st.floats(1, 1000), tries=st.integers(1, 30))
def test_each_pause_is_about_twice_the_last_until_the_longest(first: float, factor: float, tries: int) -> None:
    longest = first * factor
    backoff = Backoff(first, longest)
    for number in range(tries):
        expected = min(first * 2**number, longest)
        assert 0.79 * expected <= backoff.next() <= 1.21 * expected
    backoff.reset()
    assert backoff.next() <= 1.21 * first
