"""What a sidecar may be, in the words of Compose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.agents.hermes.settings import Hermes
from tests.scripts import compose_reader


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def load(directory: Path, hermes: dict[str, Any], **agent: Any) -> Hermes:
    settings = {"agents": {"hermes": {**agent, "hermes": hermes}}}
    (directory / "homelab.yaml").write_text(yaml.safe_dump(settings))
    loaded = load_settings(directory).agents["hermes"].hermes
    assert loaded
    return loaded


def refused(directory: Path, hermes: dict[str, Any], **agent: Any) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(directory, hermes, **agent)
    return [message.removeprefix("homelab.yaml: agents.hermes.") for message in refusal.value.messages]


def sidecar(**more: Any) -> dict[str, Any]:
    return {"sidecars": {"side": {"image": "x:1", **more}}}


# Dollars --------------------------------------------------------------------------------------------------------------

VARIABLES = ("$X", "${X}", "${X:-a}", "${X", "$$$X", "$$ ${X}", "$2y$10$salt", "$_", "$\u017f")
PLACES: dict[str, Any] = {
    "command": lambda text: sidecar(command=["echo", text]),
    "healthcheck": lambda text: sidecar(healthcheck={"test": ["CMD-SHELL", text]}),
    "environment": lambda text: sidecar(environment={"A": text}),
    "labels": lambda text: sidecar(labels={"a": text}),
    "networks": lambda text: {"network_mode": "bridge", "networks": {"web": {"labels": {"a": text}}}},
}


@pytest.mark.parametrize("text", VARIABLES)
@pytest.mark.parametrize("place", PLACES)
def test_what_compose_takes_for_a_variable_is_refused_with_the_sign_doubled(
    directory: Path, place: str, text: str
) -> None:
    (message,) = refused(directory, PLACES[place](text))
    found = re.search(r'; write \$\$ for the sign itself, so ("[^"]*")', message)
    assert found
    remedy = json.loads(found[1])
    load(directory, PLACES[place](remedy))
    assert compose_reader.interpolated(remedy, {}) == text.replace("$$", "$")


@pytest.mark.parametrize("text", ["$$", "$$X", "$${X}", "5$$", "$$$$", "a$$b", "5$", "$1", "a $ b", "$$$"])
@pytest.mark.parametrize("place", PLACES)
def test_two_dollars_or_a_lone_one_are_the_sign_itself(directory: Path, place: str, text: str) -> None:
    load(directory, PLACES[place](text))


def test_a_dollar_outside_of_composes_words_needs_no_second(directory: Path) -> None:
    assert load(directory, {"environment": {"PRICE": "5$"}}).environment["PRICE"] == "5$"
