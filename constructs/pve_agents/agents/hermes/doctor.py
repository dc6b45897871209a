"""What can be known of Hermes before it runs: whether its model and its bot are there for the keys that it will have."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from pve_agents.agents.doctor import Secret
from pve_agents.agents.hermes.guest.probe import (
    FAILED,
    GIVE_SECRETS,
    HTTP_OK,
    NOT_FOUND,
    OK,
    PROXIES,
    SKIPPED,
    UNAUTHORIZED,
    NoAnswerError,
    ask,
    json_of,
    message_of,
    no_models,
    presentable,
    without_password,
)
from pve_agents.agents.hermes.guest.probe import judge_models as judge_listed
from pve_agents.agents.hermes.render import endpoint, key_name
from pve_agents.agents.hermes.settings import Hermes, Profile
from pve_agents.findings import Check, Outcome, Status, failed, ok, skipped, warning
from pve_agents.settings import Agent

__all__ = ["checks", "judge_bot", "judge_models"]

_SECONDS = 4.0
_TELEGRAM = "https://api.telegram.org/bot"
_OTHER_WAY = "Hermes asks through a proxy of its own: its first answer shows whether that works"
_UNKNOWN_TOKEN = (UNAUTHORIZED, NOT_FOUND)
_STATES: dict[str, Status] = {OK: "ok", FAILED: "failed", SKIPPED: "warning"}


def checks(agent: Agent, secret: Secret) -> list[Check]:
    """Return the checks of all profiles of an agent."""
    hermes = Hermes.of(agent)
    services = hermes.services(agent.name) if hermes else {}
    return [check for name, profile in services.items() for check in _of_profile(agent, name, profile, secret)]


def _of_profile(agent: Agent, name: str, profile: Profile, secret: Secret) -> Iterator[Check]:
    suffix = name.removeprefix(agent.name).replace("-", " ", 1)
    if endpoint(profile.config).get("base_url"):
        yield Check(f"model{suffix}", lambda: _models(agent, profile, secret))
    if profile.platforms.telegram:
        yield Check(f"telegram{suffix}", lambda: _bot(profile, secret))


def _models(agent: Agent, profile: Profile, secret: Secret) -> Outcome:
    if _has_a_proxy(profile):
        return skipped(_OTHER_WAY)
    provider = endpoint(profile.config)
    variable = key_name(provider)
    source = profile.secret_map.get(variable, variable)
    url = f"{str(provider['base_url']).rstrip('/')}/models"
    key = secret(source).get_secret_value() if source else ""
    try:
        code, text = ask(url, key=key, seconds=_SECONDS)
    except NoAnswerError as error:
        return judge_models(agent.name, profile.config["model"]["default"], url, str(error), source)
    return judge_models(agent.name, profile.config["model"]["default"], url, (code, text), source)


def judge_models(agent: str, model: str, url: str, answer: tuple[int, str] | str, source: str) -> Outcome:
    """Whether the model endpoint takes the key, and lists the model.

    Args:
        agent: Name of the agent.
        model: The model.
        url: What was asked.
        answer: The answer's status and text; or why there was none.
        source: Name of the secret with the key; empty if it wants none.
    """
    shown = without_password(url)
    if isinstance(answer, str):
        # The container may have another way there than this machine.
        remedy = f"start it, or look on the node whether it answers there: curl -sS -o /dev/null -w '%{{http_code}}\\n' {shown}"
        return warning(f"{shown} does not answer here ({answer})", remedy)
    code, text = answer
    if code != HTTP_OK:
        state, detail, remedy = no_models(shown, code, message_of(text), source)
    else:
        listed = [str(it.get("id", "")) for it in json_of(text).get("data") or [] if isinstance(it, dict)]
        state, detail, remedy = judge_listed(shown, listed, model)
    if remedy == GIVE_SECRETS:
        remedy = f"correct {source} in the agent's secrets file" if source else "name its key: providers.<name>.key_env"
    detail, remedy = (presentable(it, {}) for it in (detail, remedy.replace("AGENT", agent)))
    return Outcome(_STATES[state], detail, remedy)


def _bot(profile: Profile, secret: Secret) -> Outcome:
    telegram = profile.platforms.telegram
    if telegram is None or telegram.proxy or _has_a_proxy(profile):
        return skipped(_OTHER_WAY)
    source = profile.secret_map["TELEGRAM_BOT_TOKEN"]
    token = quote(secret(source).get_secret_value(), safe=":")
    try:
        code, text = ask(f"{telegram.base_url or _TELEGRAM}{token}/getMe", key="", seconds=_SECONDS)
    except NoAnswerError as error:
        return judge_bot(str(error), source)
    return judge_bot((code, text), source)


def judge_bot(answer: tuple[int, str] | str, source: str) -> Outcome:
    """Whether Telegram knows the bot's token.

    Args:
        answer: The answer's status and text; or why there was none.
        source: Name of the secret with the token.
    """
    if isinstance(answer, str):
        remedy = "look at this machine's way out; the container needs one of its own, to api.telegram.org:443"
        return warning(f"Telegram does not answer here ({answer})", remedy)
    code, text = answer
    said = json_of(text)
    bot = said.get("result")
    if code == HTTP_OK and isinstance(bot, dict) and bot.get("username"):
        return ok(presentable(f"@{bot['username']}", {}))
    why = presentable(f"HTTP {code}: {said.get('description') or 'no reason given'}", {})
    if code in _UNKNOWN_TOKEN:
        remedy = f"write what @BotFather shows for /token into the agent's secrets file, as {source}"
        return failed(f"Telegram does not know the token {source} ({why})", remedy)
    return warning(f"Telegram answers something else ({why})", "run it again after a while")


def _has_a_proxy(profile: Profile) -> bool:
    return any(profile.environment.get(name) for name in PROXIES)
