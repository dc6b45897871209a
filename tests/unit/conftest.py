"""How the tests with made-up examples run, and what several of the others ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.fake_api import Pve, make_certificate

# What an example takes depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that only those trust who name it, with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def pve(certificate: Path) -> Iterator[Pve]:
    """An API on which the token of the tests has all that an agent's stack needs."""
    with Pve(certificate) as server:
        yield server
