"""Fixtures of every tier."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.birds import NAMES, BirdProgram, bird_program, bird_programs

settings.register_profile("whatever else the machine does", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever else the machine does")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files with what came out")


@pytest.fixture(scope="session", params=NAMES)
def bird_version(request: pytest.FixtureRequest) -> BirdProgram:
    """Each BIRD of the machine in turn."""
    return bird_program(request.param)


@pytest.fixture(scope="session")
def birds() -> tuple[BirdProgram, ...]:
    """All BIRDs of the machine."""
    return bird_programs()
