"""Fixtures of every tier."""

from __future__ import annotations

import pytest

from tests.birds import NAMES, BirdProgram, bird_program, bird_programs


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
