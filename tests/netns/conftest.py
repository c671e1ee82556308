"""Network namespaces of tests' own. Scenarios: one lab for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from birdctl.netfilter.iptables import Mode
from tests.bird.daemon import Namespace
from tests.labs import Lab, running


@pytest.fixture(params=list(Mode))
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each of iptables'."""
    return Mode(request.param)


@pytest.fixture
def own_network() -> Iterator[None]:
    """The test is in a network namespace of its own."""
    with Namespace() as space, space.inside():
        yield


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The scenario that the module names in SCENARIO, up, and every session of its NODES Established."""
    with running(request.module.SCENARIO, tmp_path_factory.mktemp("lab")) as lab:
        done = lab.birdctl("wait", "--for", "established", "--lab", lab.name, *_of(request.module.NODES))
        assert done.returncode == 0, done.stdout + done.stderr
        yield lab


def _of(nodes: tuple[str, ...]) -> list[str]:
    return [word for node in nodes for word in ("--node", node)]
