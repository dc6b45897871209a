"""What the tests with the real Docker Compose share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import load_settings
from pve_agents.agents.hermes.settings import Hermes
from pve_agents.root_spec import payload_of
from tests.compose.real import arrives

Arrives = Callable[..., dict[str, Any]]
"""What Compose makes of a text, with variables if need be."""

Deployed = Callable[[Mapping[str, Any]], dict[str, Any]]
"""What Compose makes of the compose file of a section `hermes`, by service."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them want the real Compose."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.compose)


@pytest.fixture
def arrive(tmp_path: Path) -> Arrives:
    def of_text(text: str, **variables: str) -> dict[str, Any]:
        return arrives(text, tmp_path, variables)

    return of_text


@pytest.fixture
def deployed(tmp_path: Path) -> Deployed:
    def of_section(hermes: Mapping[str, Any]) -> dict[str, Any]:
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": {"hermes": hermes}}}))
        agent = load_settings(tmp_path).agents["hermes"]
        section = Hermes.of(agent)
        assert section
        text = payload_of(agent).files["docker-compose.yml"].text
        services = [*section.services(agent.name), *section.sidecars]
        revisions = {f"REVISION_{name.upper().replace('-', '_')}": f"{i:064x}" for i, name in enumerate(services)}
        return dict(arrives(text, tmp_path, revisions)["services"])

    return of_section
