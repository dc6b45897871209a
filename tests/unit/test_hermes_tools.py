"""What restricts the agent's tools, and what only seems to: the settings; what Hermes makes of them is in tests/agent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents.agents.hermes.settings import Hermes
from pve_agents.agents.hermes.tools import PLATFORMS
from pve_agents.settings import SettingsError, load_settings

INSTEAD = (
    "write platform_toolsets with a list for each place where it is spoken to, "
    "such as {telegram: [web], api_server: [web], cli: [web], cron: [web]}"
)
NO_PLATFORM = (
    f"is not a platform of Hermes, which would pass over it and keep every tool; write one of {', '.join(PLATFORMS)}."
)
NO_TOOLSET = "is no toolset that Hermes takes away, and its tools would stay"
NOWHERE = "Hermes reads this nowhere, and the agent would keep every tool"


def load(directory: Path, hermes: dict[str, Any]) -> Hermes:
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": {"hermes": hermes}}}))
    loaded = Hermes.of(load_settings(directory).agents["hermes"])
    assert loaded
    return loaded


def refused(directory: Path, hermes: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(directory, hermes)
    return [message.removeprefix("homelab.yaml: agents.hermes.hermes.") for message in refusal.value.messages]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"toolsets": ["web"]}, f"toolsets: {NOWHERE}; {INSTEAD}."),
        ({"toolsets": ["all"]}, f"toolsets: {NOWHERE}; {INSTEAD}."),
        ({"toolsets": []}, f"toolsets: {NOWHERE}; {INSTEAD}."),
        ({"enabled_toolsets": ["web"]}, f"enabled_toolsets: {NOWHERE}; {INSTEAD}."),
        ({"agent": {"toolsets": ["web"]}}, f"agent.toolsets: {NOWHERE}; {INSTEAD}."),
        ({"telegram": {"toolsets": ["web"]}}, f"telegram.toolsets: {NOWHERE}; {INSTEAD}."),
        ({"platforms": {"telegram": {"toolsets": []}}}, f"platforms.telegram.toolsets: {NOWHERE}; {INSTEAD}."),
        ({"tools": {"enabled": ["web"]}}, f"tools.enabled: {NOWHERE}; {INSTEAD}."),
        ({"disabled_toolsets": ["terminal"]}, f"disabled_toolsets: {NOWHERE}; write agent.disabled_toolsets."),
        ({"disabled_tools": ["terminal"]}, f"disabled_tools: {NOWHERE}; write agent.disabled_toolsets."),
        ({"tools": {"disabled": ["terminal"]}}, f"tools.disabled: {NOWHERE}; write agent.disabled_toolsets."),
        (
            {"agent": {"disabled_tools": ["terminal"]}},
            f"agent.disabled_tools: {NOWHERE}; write agent.disabled_toolsets.",
        ),
        (
            {"max_turns": 5},
            "max_turns: Hermes reads this in the agent's own file only; write agent.max_turns.",
        ),
        ({"agent": {"max_iterations": 5}}, "agent.max_iterations: Hermes reads this nowhere; write agent.max_turns."),
        (
            {"compression": {"summary_model": "small"}},
            "compression.summary_model: Hermes reads this no more; write auxiliary.compression.model.",
        ),
        (
            {"compression": {"summary_provider": "small"}},
            "compression.summary_provider: Hermes reads this no more; write auxiliary.compression.provider.",
        ),
        (
            {"api_key": "${LITELLM_API_KEY}"},
            "api_key: Hermes reads this nowhere; write providers.<name>.key_env with the name of the variable.",
        ),
    ],
)
def test_a_setting_that_hermes_passes_over_is_refused_in_the_main_one_and_in_a_profile(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    assert refused(tmp_path, {"settings": settings}) == [f"settings.{message}"]
    profile = {"work": {"api_server": {"port": 8643}, "settings": settings}}
    assert refused(tmp_path, {"profiles": profile}) == [f"profiles.work.settings.{message}"]


def test_it_is_refused_in_a_config_file_too(tmp_path: Path) -> None:
    config = {
        "model": {"provider": "litellm", "default": "m"},
        "providers": {"litellm": {"base_url": "http://10.1.10.22:4000/v1"}},
        "terminal": {"cwd": "/data/workspace"},
        "toolsets": ["web"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (message,) = refused(tmp_path, {"config_file": "config.yaml"})
    assert message.endswith(f"toolsets: {NOWHERE}; {INSTEAD}.")


def test_what_a_refusal_says_to_write_is_accepted(tmp_path: Path) -> None:
    written = re.findall(r"\{.*\}", INSTEAD)[0]
    settings = {
        "platform_toolsets": yaml.safe_load(written),
        "agent": {"disabled_toolsets": ["terminal", "code_execution"], "max_turns": 5},
        "auxiliary": {"compression": {"model": "small", "provider": "litellm", "base_url": "http://h:1/v1"}},
        "providers": {"litellm": {"key_env": "LITELLM_API_KEY"}},
    }
    assert list(load(tmp_path, {"settings": settings}).warnings()) == []


def test_hermes_own_value_which_restricts_nothing_is_accepted(tmp_path: Path) -> None:
    assert list(load(tmp_path, {"settings": {"toolsets": ["hermes-cli"]}}).warnings()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"platform_toolsets": {"Telegram": ["web"]}},
            f'platform_toolsets.Telegram: "Telegram" {NO_PLATFORM}',
        ),
        (
            {"platform_toolsets": {"telegram": "web"}},
            'platform_toolsets.telegram: "web" is not a list; write one such as [first, second].',
        ),
        (
            {"agent": {"disabled_toolsets": "terminal"}},
            'agent.disabled_toolsets: "terminal" is not a list; write one such as [first, second].',
        ),
        (
            {"agent": {"disabled_toolsets": ["terminals"]}},
            f'agent.disabled_toolsets.0: "terminals" {NO_TOOLSET}; write terminal.',
        ),
    ],
)
def test_a_restriction_that_would_not_hold_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    assert refused(tmp_path, {"settings": settings}) == [f"settings.{message}"]


@pytest.mark.parametrize("name", ["shell", "hermes-cli", "coding", "bash"])
def test_a_toolset_that_hermes_cannot_take_away_is_refused_with_those_that_it_can(tmp_path: Path, name: str) -> None:
    (message,) = refused(tmp_path, {"settings": {"agent": {"disabled_toolsets": [name]}}})
    assert "write one of browser, clarify, code_execution, " in message


def test_an_mcp_server_may_be_taken_away_by_its_name(tmp_path: Path) -> None:
    settings = {"mcp_servers": {"notes": {"url": "http://h:1"}}, "agent": {"disabled_toolsets": ["notes"]}}
    assert load(tmp_path, {"settings": settings})


@pytest.mark.parametrize(
    ("settings", "place", "sentence"),
    [
        (
            {"agent": {"disabled_toolsets": ["terminal"]}},
            ("agent", "disabled_toolsets"),
            "code_execution runs Python, which can start any command; add it, unless that is meant",
        ),
        (
            {"platform_toolsets": {"telegram": ["web", "code_execution"]}},
            ("platform_toolsets", "telegram"),
            "code_execution runs Python, which can start any command; leave it out, unless that is meant",
        ),
        (
            {"platform_toolsets": {"telegram": ["web", "cronjob"]}},
            ("platform_toolsets", "telegram"),
            "the jobs of cronjob run with the tools of cron, which are all; write platform_toolsets.cron too",
        ),
    ],
)
def test_a_way_around_a_restriction_is_named(
    tmp_path: Path, settings: dict[str, Any], place: tuple[str, ...], sentence: str
) -> None:
    assert list(load(tmp_path, {"settings": settings}).warnings()) == [(("settings", *place), sentence)]
