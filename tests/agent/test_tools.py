"""Which tools the real Hermes offers to its model, with the settings that a user writes to restrict them."""

from __future__ import annotations

import time
from typing import Any

from pve_agents.agents.hermes.tools import PLATFORMS, TOOLSETS
from pve_agents.model import merged
from tests.agent.hermes import Around, RealHermes

USER = 111
# Whoever has one of them has the machine.
SHELL = {"terminal", "process", "execute_code", "write_file", "patch", "read_file", "search_files", "cronjob"}
# What strangers send to them is dangerous: Hermes gives them few tools by itself.
SAFE_BY_THEMSELVES = {"webhook", "relay", "msgraph_webhook"}
# As the gateway, the API server, the commands and the cron jobs find it out, for one managed config after the other.
OF_ALL_PLATFORMS = """
import json, os, pathlib, sys
from gateway.config import load_gateway_config
from hermes_cli.config import load_config
from hermes_cli.platforms import get_all_platforms
from hermes_cli.tools_config import _get_platform_tools
from model_tools import get_tool_definitions

managed = pathlib.Path(os.environ["HERMES_MANAGED_DIR"], "config.yaml")
offered = []
load_gateway_config()  # loads the platforms' plugins
for declared in json.loads(sys.argv[1]):
    managed.write_text(json.dumps(declared))
    config = load_config()
    disabled = config["agent"]["disabled_toolsets"] or None
    offered.append({})
    for platform in [*get_all_platforms(), "relay", "msgraph_webhook"]:
        enabled = sorted(_get_platform_tools(config, platform))
        found = get_tool_definitions(enabled_toolsets=enabled, disabled_toolsets=disabled, quiet_mode=True)
        offered[-1][platform] = [tool["function"]["name"] for tool in found]
print(json.dumps(offered))
"""
NAMES = """
import json, toolsets
from hermes_cli.tools_config import _get_plugin_toolset_keys
print(json.dumps(sorted({*toolsets.TOOLSETS, *_get_plugin_toolset_keys()})))
"""


def with_each(hermes: RealHermes, *configs: dict[str, Any]) -> list[dict[str, set[str]]]:
    """What each of the managed configs lets Hermes offer, by platform."""
    offered = hermes.ask_python(OF_ALL_PLATFORMS, configs)
    return [{platform: set(tools) for platform, tools in found.items()} for found in offered]


def config_of(hermes: RealHermes, settings: dict[str, Any], service: str = "hermes") -> dict[str, Any]:
    """The managed config that comes of settings, of the agent or of its profile `work`."""
    profiles = {"work": {"api_server": {"port": 8643}, "settings": settings}}
    hermes.deliver({"settings": settings} if service == "hermes" else {"profiles": profiles}, service=service)
    return hermes.config


def test_platform_toolsets_take_the_shell_away_where_they_are_written(hermes: RealHermes, around: Around) -> None:
    """Read from the model's own requests: through Telegram, the API server, and a command in the container."""
    hermes.deliver(
        {
            "platforms": {"telegram": {"allowed_users": [USER]}},
            "settings": {
                "platform_toolsets": {"telegram": ["todo"], "api_server": ["todo", "memory"], "cli": ["memory"]},
            },
        }
    )
    with hermes.gateway():
        assert hermes.chat("ping") == "pong"
        assert around.tools_offered() == {"todo", "memory"}
        around.telegram.send(USER, "ping")
        end = time.monotonic() + 30
        while "pong" not in around.telegram.answers(USER) and time.monotonic() < end:
            time.sleep(0.05)
        assert around.tools_offered() == {"todo"}
    assert "pong" in hermes.run("chat", "-Q", "-q", "ping")
    assert around.tools_offered() == {"memory"}


def test_the_settings_that_restrict_do_so_on_every_platform(hermes: RealHermes) -> None:
    everywhere = {"platform_toolsets": {platform: ["todo"] for platform in PLATFORMS}}
    nothing = [{"platform_toolsets": {"telegram": toolsets}} for toolsets in ([], ["nonsense"], ["no_mcp"])]
    disabled = {"agent": {"disabled_toolsets": ["terminal", "code_execution", "file", "cronjob"]}}
    free, main, profile, without, *none = with_each(
        hermes,
        config_of(hermes, {}),
        config_of(hermes, everywhere),
        config_of(hermes, everywhere, "hermes-work"),
        config_of(hermes, disabled),
        *(config_of(hermes, settings) for settings in nothing),
    )

    assert {platform for platform, tools in free.items() if not tools >= SHELL - {"cronjob"}} == SAFE_BY_THEMSELVES
    # What a setting cannot name would keep its shell.
    assert free.keys() <= set(PLATFORMS)
    assert [tools for tools in (*main.values(), *profile.values()) if tools != {"todo"}] == []
    assert [tools for tools in without.values() if tools & SHELL] == []
    assert [found["telegram"] for found in none] == [set()] * 3


def test_every_toolset_that_a_setting_may_disable_is_one_and_no_other_one_is(hermes: RealHermes) -> None:
    hermes.deliver({})
    known = {name for name in hermes.ask_python(NAMES) if not name.startswith("hermes-")}
    # A posture, which owns no tools.
    assert known - set(TOOLSETS) == {"coding"}
    assert set(TOOLSETS) <= known


PASSED_OVER: tuple[dict[str, Any], ...] = (
    {"toolsets": ["web"], "enabled_toolsets": ["web"], "disabled_toolsets": ["terminal"]},
    {"disabled_tools": ["terminal"], "tools": {"enabled": ["web"], "disabled": ["terminal"]}},
    {"agent": {"toolsets": ["web"], "enabled_toolsets": ["web"], "disabled_tools": ["terminal"]}},
    {"telegram": {"toolsets": ["web"]}, "platforms": {"telegram": {"toolsets": ["web"]}}},
    {"platform_toolsets": {"telegram": "web"}},
    {"platform_toolsets": {"Telegram": ["web"]}},
    {"agent": {"disabled_toolsets": "terminal"}},
    {"agent": {"disabled_toolsets": ["shell", "hermes-cli", "hermes-telegram", "coding"]}},
)


def test_what_the_settings_refuse_would_have_restricted_nothing(hermes: RealHermes) -> None:
    """The other half: should Hermes come to read one of them, this says so."""
    declared = config_of(hermes, {})
    everything, *found = with_each(hermes, declared, *(merged(declared, tree) for tree in PASSED_OVER))
    assert [tree for tree, offered in zip(PASSED_OVER, found, strict=True) if offered != everything] == []
