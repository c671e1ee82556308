"""Known-good configurations and the way back to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdctl.errors import BackendError
from birdctl.routing import inventory as inventories
from birdctl.routing.commit import BirdBackend
from birdctl.routing.history import digest_of
from tests.bird.daemon import Bird
from tests.bird.texts import FOREIGN, inventory, prefix, rendered


@pytest.fixture
def committed(bird: Bird, backend: BirdBackend) -> BirdBackend:
    """Runs `three`, after `one` and `two`."""
    bird.start(FOREIGN)
    for number, digest in enumerate(("one", "two", "three")):
        backend.commit(rendered(digest, prefix("pods4", f"10.{number}.0.0/24")), inventory(digest))
    return backend


def test_the_history_says_what_was_good_and_what_runs(committed: BirdBackend) -> None:
    found = [(each.number, each.digest, each.running) for each in committed.history()]
    assert found == [(3, "three", True), (2, "two", False), (1, "one", False)]


def test_a_rollback_goes_to_the_previous_good_one_by_the_same_commit(
    committed: BirdBackend, bird: Bird, folder: Path
) -> None:
    result = committed.rollback()
    assert (result.digest, result.changed) == ("two", True)
    assert committed.status().digest == digest_of(bird.config.read_text()) == "two"
    assert [str(each.prefix) for each in committed.routes()] == ["10.1.0.0/24"]
    assert inventories.read(folder / "run") == inventory("two")


def test_a_second_rollback_goes_forth_again(committed: BirdBackend) -> None:
    committed.rollback()
    assert committed.rollback().digest == "three"


def test_a_rollback_to_a_number_goes_there(committed: BirdBackend) -> None:
    assert committed.rollback(1).digest == "one"
    assert [each.digest for each in committed.history()] == ["one", "three", "two"]


def test_a_number_that_is_not_there_changes_nothing(committed: BirdBackend) -> None:
    with pytest.raises(BackendError, match="no configuration 99"):
        committed.rollback(99)
    assert committed.status().digest == "three"


def test_without_an_earlier_configuration_there_is_nothing_to_go_back_to(bird: Bird, backend: BirdBackend) -> None:
    bird.start(FOREIGN)
    with pytest.raises(BackendError, match="no earlier configuration"):
        backend.rollback()
    backend.commit(rendered("one"), inventory("one"))
    with pytest.raises(BackendError, match="no earlier configuration"):
        backend.rollback()


def test_from_a_foreign_configuration_the_way_back_is_the_newest_of_ours(
    committed: BirdBackend, bird: Bird, folder: Path
) -> None:
    foreign = folder / "foreign.conf"
    foreign.write_text(FOREIGN)
    bird.request(f'configure "{foreign}"')
    assert committed.running_text() is None
    assert committed.rollback().digest == "three"


def test_the_running_text_is_found_by_its_digest(committed: BirdBackend, bird: Bird) -> None:
    expected = rendered("three", prefix("pods4", "10.2.0.0/24")).text
    assert committed.running_text() == expected
    bird.config.write_text("edited by hand\n")
    assert committed.running_text() == expected
