"""The real Compose knows the keys that are passed on to it."""

from __future__ import annotations

import pytest

from tests.compose.conftest import Deployed
from tests.sidecar_keys import EVERY_KEY


@pytest.mark.parametrize("key", EVERY_KEY)
def test_compose_takes_what_is_passed_on(key: str, deployed: Deployed) -> None:
    service = deployed({"sidecars": {"side": {"image": "x:1", key: EVERY_KEY[key]}}})["side"]
    # Some of them it moves below `deploy`, as the cpus and the memory.
    assert service[key] if key in service else service["deploy"]["resources"]
