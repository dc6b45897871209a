"""What is asked before the first Hermes: where its model is, and who may talk to it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pve_agents.agents.init import Introduction
from pve_agents.questions import NONE, Answers, Question, SecretNote
from pve_agents.settings import Agent

if TYPE_CHECKING:
    from pve_agents.agents.hermes.settings import Hermes

__all__ = ["INTRODUCTION", "section"]

_URL, _MODEL, _USERS = "litellm-url", "model", "telegram-users"


def _hermes(agent: Agent) -> Hermes:
    from pve_agents.agents.hermes.settings import Hermes  # noqa: PLC0415 - who asks for help alone does not wait for it

    return Hermes.of(agent) or Hermes()


def _url(agent: Agent) -> str:
    return str(_hermes(agent).settings.providers["litellm"].base_url)


def section(answers: Answers, defaults: Answers) -> Mapping[str, Any]:
    """Return the section that the answers make: what differs from the defaults."""
    found: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if answers[_MODEL] != defaults[_MODEL]:
        settings["model"] = {"default": answers[_MODEL]}
    if answers[_URL] != defaults[_URL]:
        settings["providers"] = {"litellm": {"base_url": answers[_URL]}}
    if settings:
        found["settings"] = settings
    users = answers[_USERS].replace(",", " ").split()
    if users not in ([], [NONE]):
        # What is no number is left to the settings, which say so.
        found["platforms"] = {"telegram": {"allowed_users": [int(it) if it.isdecimal() else it for it in users]}}
    return found


INTRODUCTION = Introduction(
    questions=(
        Question(_URL, "Where LiteLLM is, as the container sees it, with its /v1", _url),
        Question(_MODEL, "Name of the model there: its model_name", lambda it: _hermes(it).settings.model.default),
        Question(
            _USERS,
            f"Numeric ids of the Telegram users who may talk to the agent, with commas between; {NONE}: no Telegram",
            lambda _: NONE,
        ),
    ),
    section=section,
    secrets={
        "LITELLM_API_KEY": SecretNote(
            "A virtual key of LiteLLM's, with a budget; never its master key: the agent's own shell can read it."
        ),
        "API_SERVER_KEY": SecretNote("The key of the agent's own API, made up here.", lambda: secrets.token_hex(32)),
        "TELEGRAM_BOT_TOKEN": SecretNote("The bot's token, as @BotFather shows it for /token."),
    },
)
