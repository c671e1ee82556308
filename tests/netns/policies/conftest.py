"""One network with its agents for all tests of a module, in each of iptables' modes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.policies.world import HINTS, World, world


@pytest.fixture(scope="module", params=HINTS)
def _world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), request.param) as found:
        yield found


@pytest.fixture
def cluster(_world: World) -> World:
    """No policies, and every pod as it was in the beginning."""
    _world.reset()
    _world.sync()
    return _world
