"""What the tests with the real Hermes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.hermes import Around, RealHermes, installed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them want the real Hermes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.hermes)


@pytest.fixture(scope="session")
def venv() -> Path:
    """Where Hermes is installed."""
    return installed()


@pytest.fixture
def around() -> Iterator[Around]:
    """What Hermes speaks to."""
    around = Around()
    with around.running():
        yield around


@pytest.fixture
def hermes(venv: Path, tmp_path: Path, around: Around) -> RealHermes:
    """A Hermes to which nothing has been delivered yet."""
    return RealHermes(venv, tmp_path, around)
