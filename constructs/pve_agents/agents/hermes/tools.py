"""Which tools Hermes offers to its model, where it is spoken to: what restricts them, and what only seems to.

Names and values are those of hermes-agent 0.19, where `tests/agent` looks what each of them does.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator

from pve_agents.model import distinct
from pve_agents.problems import Key, Problem, likeliest
from pve_agents.types import Text, shown

__all__ = ["PLATFORMS", "TOOLSETS", "Names", "PlatformName", "tool_problems", "tool_warnings"]

PLATFORMS = (
    *("cli", "cron", "api_server", "webhook", "telegram", "discord", "slack", "whatsapp", "whatsapp_cloud", "signal"),
    *(
        "matrix",
        "mattermost",
        "email",
        "sms",
        "homeassistant",
        "irc",
        "line",
        "ntfy",
        "teams",
        "google_chat",
        "simplex",
    ),
    *("bluebubbles", "dingtalk", "feishu", "wecom", "wecom_callback", "weixin", "qqbot", "yuanbao", "photon", "raft"),
    *("msgraph_webhook", "relay"),
)
"""Where Hermes is spoken to; ``cron`` is what it does by itself, ``cli`` are its commands and the dashboard."""

TOOLSETS = (
    *("browser", "clarify", "code_execution", "computer_use", "context_engine", "cronjob", "debugging", "delegation"),
    *("discord", "discord_admin", "feishu_doc", "feishu_drive", "file", "homeassistant", "image_gen", "kanban"),
    *("memory", "project", "safe", "search", "session_search", "skills", "spotify", "terminal", "todo", "tts", "video"),
    *("video_gen", "vision", "web", "x_search", "yuanbao"),
)
"""The toolsets that Hermes takes away where they are disabled."""

ToolName = Annotated[
    str,
    Text(
        "the name of a tool or toolset",
        r"[A-Za-z0-9][A-Za-z0-9_.:*-]*",
        "letters, digits and _ . : * -, such as web",
        128,
    ),
]
Names = Annotated[tuple[ToolName, ...], AfterValidator(distinct)]
"""Names of tools or toolsets."""

PlatformName = Annotated[
    str,
    Text(
        "a platform of Hermes, which would pass over it and keep every tool",
        "|".join(PLATFORMS),
        f"one of {', '.join(PLATFORMS)}",
    ),
]
"""Where Hermes is spoken to."""

_BY_PLATFORM = (
    "write platform_toolsets with a list for each place where it is spoken to, "
    "such as {telegram: [web], api_server: [web], cli: [web], cron: [web]}"
)
_NOWHERE = "Hermes reads this nowhere, and the agent would keep every tool"
_NO_MORE = "Hermes reads this no more"
# Keys that look as if they did something, by what does it.
_OF_NO_EFFECT: Mapping[Key, str] = MappingProxyType(
    {
        **dict.fromkeys(
            [
                *(("toolsets",), ("enabled_toolsets",), ("tools", "enabled"), ("agent", "toolsets")),
                *(("agent", "enabled_toolsets"), *((platform, "toolsets") for platform in PLATFORMS)),
                *(("platforms", platform, "toolsets") for platform in PLATFORMS),
            ],
            f"{_NOWHERE}; {_BY_PLATFORM}",
        ),
        **dict.fromkeys(
            [("disabled_toolsets",), ("disabled_tools",), ("tools", "disabled"), ("agent", "disabled_tools")],
            f"{_NOWHERE}; write agent.disabled_toolsets",
        ),
        ("max_turns",): "Hermes reads this in the agent's own file only; write agent.max_turns",
        ("max_iterations",): "Hermes reads this nowhere; write agent.max_turns",
        ("agent", "max_iterations"): "Hermes reads this nowhere; write agent.max_turns",
        ("compression", "summary_model"): f"{_NO_MORE}; write auxiliary.compression.model",
        ("compression", "summary_provider"): f"{_NO_MORE}; write auxiliary.compression.provider",
        ("compression", "summary_base_url"): f"{_NO_MORE}; write auxiliary.compression.base_url",
        ("api_key",): "Hermes reads this nowhere; write providers.<name>.key_env with the name of the variable",
    }
)
# Hermes' own, in the file that it starts from: it says no more than that nothing is restricted.
_HARMLESS: Mapping[Key, tuple[object, ...]] = MappingProxyType({("toolsets",): (["hermes-cli"], None)})


def tool_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what the author of a configuration believes to hold, and Hermes passes over.

    Args:
        tree: What Hermes gets.
    """
    for key, sentence in _OF_NO_EFFECT.items():
        if (found := _at(tree, key, _MISSING)) is not _MISSING and found not in _HARMLESS.get(key, ()):
            yield Problem(key, sentence, found)
    servers = tree.get("mcp_servers") or {}
    for i, name in enumerate(_at(tree, ("agent", "disabled_toolsets"), None) or ()):
        if name not in TOOLSETS and name not in servers:
            close = likeliest(name, TOOLSETS, cutoff=0.75)
            write = close or f"one of {', '.join(TOOLSETS)}"
            yield Problem(
                ("agent", "disabled_toolsets", i),
                f"{shown(name)} is no toolset that Hermes takes away, and its tools would stay; write {write}",
                name,
            )


def tool_warnings(tree: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Find ways around a restriction that is stated.

    Yields:
        The place of each, and a sentence without its full stop.
    """
    disabled = set(_at(tree, ("agent", "disabled_toolsets"), None) or ())
    stated: Mapping[str, Sequence[str]] = tree.get("platform_toolsets") or {}
    if "terminal" in disabled and "code_execution" not in disabled:
        sentence = "code_execution runs Python, which can start any command; add it, unless that is meant"
        yield ("agent", "disabled_toolsets"), sentence
    for platform, names in stated.items():
        left = set(names) - disabled
        if "code_execution" in left and "terminal" not in left:
            sentence = "code_execution runs Python, which can start any command; leave it out, unless that is meant"
            yield ("platform_toolsets", platform), sentence
        if "cronjob" in left and "cron" not in stated and platform != "cron":
            sentence = "the jobs of cronjob run with the tools of cron, which are all; write platform_toolsets.cron too"
            yield ("platform_toolsets", platform), sentence


_MISSING = object()


def _at(tree: Mapping[str, Any], key: Key, default: object) -> Any:  # noqa: ANN401 - plain data
    value: Any = tree
    for part in key:
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value
