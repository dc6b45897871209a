"""Variables and secrets that Hermes gets beside its settings, and those that are settings here or work no more."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from pve_agents.agents.hermes.names import env_name
from pve_agents.model import ReadOnly
from pve_agents.problems import checked
from pve_agents.types import is_credential_name, shown

__all__ = ["Secrets", "variable"]

# What a variable would change that is a setting here, and what stopped working in Hermes.
_SETTINGS_FOR: Mapping[str, str] = MappingProxyType(
    {
        "OPENAI_BASE_URL": "is ignored by Hermes, which then sends the key to a third party; "
        "write settings.providers.<name>.base_url",
        "CUSTOM_BASE_URL": "makes Hermes pass over the endpoint that is declared here; "
        "write settings.providers.<name>.base_url",
        "OPENAI_MODEL|LLM_MODEL": "is not read by Hermes any more; write settings.model.default",
        "MESSAGING_CWD|TERMINAL_CWD": "is not read by Hermes any more; write settings.terminal.cwd",
        "HERMES_DASHBOARD_INSECURE": "does nothing any more; write dashboard.auth",
        "HERMES_DASHBOARD_BASIC_AUTH_(PASSWORD|SECRET)": "is a secret that dashboard.auth: basic brings along; "
        "leave it out",
        "HERMES_DASHBOARD.*": "is set here; write dashboard.enabled and the keys beside it",
        "HERMES_HOME": "is always /opt/data; write data_directory for what lies there",
        "HERMES_(UID|GID)|PUID|PGID": "is always 10000, whom the workspaces belong to; leave it out",
        "HERMES_MANAGED.*": "decides where Hermes finds what is declared here; leave it out",
        "HERMES_WRITE_SAFE_ROOT": "follows from the agent's mounts; write mounts",
        "HERMES_GATEWAY_NO_SUPERVISE|HERMES_S6_SUPERVISED_CHILD": "starts a second gateway on the same data beside the "
        "one that the image's supervisor starts; leave it out",
        "S6_(?:KILL_FINISH_MAXTIME|KILL_GRACETIME|SERVICES_GRACETIME)": "is what the image's supervisor makes of the time "
        "to stop; write stop_grace_seconds",
        "TERMINAL_TEMP_DIR": "is set here; write settings.terminal.temp_dir",
        "HERMES_AUTH_JSON_BOOTSTRAP": "is what auth does; write auth",
        "API_SERVER_KEY": "is a secret that Hermes gets anyway; leave it out",
        "API_SERVER_ENABLED": "is always true, since the health of the agent is asked there; leave it out",
        "API_SERVER_(HOST|PORT|CORS_ORIGINS|MODEL_NAME)": "is set here; write api_server.{0}",
        "(TELEGRAM|DISCORD|SLACK)_(BOT|APP)_TOKEN": "is a secret that platforms.{0} brings along; leave it out",
        "(TELEGRAM|DISCORD|SLACK)_ALLOW_ALL_USERS": "is set here; write platforms.{0}.allow_all",
        "(TELEGRAM|DISCORD|SLACK)_(?:ALLOWED_USERS|ALLOWED_ROLES|GROUP_ALLOWED_USERS|GROUP_ALLOWED_CHATS|HOME_CHANNEL"
        "|HOME_CHANNEL_NAME|PROXY|WEBHOOK_URL|WEBHOOK_PORT|WEBHOOK_SECRET)": "is set here; write it under platforms.{0}",
        "GATEWAY_ALLOW_ALL_USERS|GATEWAY_ALLOWED_USERS": "is about all platforms; "
        "write allow_all or allowed_users under the platform",
    }
)


def _not_a_setting(name: object) -> str:
    for pattern, reason in _SETTINGS_FOR.items():
        if found := re.fullmatch(pattern, str(name)):
            raise ValueError(f"this {reason.format((found[1] or '').lower() if found.groups() else '')}")
    return env_name(name)


def variable(name: Any, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked yet
    """Check a variable that is to be no secret and no setting.

    Args:
        name: Its name.
        value: Its value.

    Yields:
        Both, if they fit.

    Raises:
        ValueError: They do not.
    """
    _not_a_setting(name)
    if is_credential_name(name):
        raise ValueError(
            "this is a secret by its name; list the name under secrets, and put the value into the agent's secrets file"
        )
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text; write it in quotes")  # noqa: TRY004 - pydantic's way
    if "\n" in value or "\0" in value or "\r" in value:
        raise ValueError("the text has a line break, which no variable can have; write one line")
    if "${" in value:
        raise ValueError(f"{shown(value)} refers to another variable; write the value, or list the name under secrets")
    yield name, value


_BROUGHT_ALONG = frozenset(
    {
        *("API_SERVER_KEY", "DISCORD_BOT_TOKEN", "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD"),
        *("HERMES_DASHBOARD_BASIC_AUTH_SECRET", "HERMES_DASHBOARD_OIDC_CLIENT_SECRET", "SLACK_APP_TOKEN"),
        *("SLACK_BOT_TOKEN", "TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET"),
    }
)


def _as_secrets(values: object) -> object:
    # What stands here may be a secret itself, and is not shown.
    if isinstance(values, list | tuple):
        pairs: Mapping[Any, Any] = {name: name for _, name in checked(values, lambda i, name: [(i, env_name(name))])}
    elif isinstance(values, Mapping):
        pairs = values
        # Said of the mapping, since a key that is no name may be a secret too.
        for name in values:
            if not any(re.fullmatch(pattern, str(name)) for pattern in _SETTINGS_FOR):
                env_name(name)
    else:
        raise ValueError(  # noqa: TRY004 - pydantic's way
            "this is neither a list of names nor a mapping; write the names of environment variables, "
            "such as [FIRECRAWL_API_KEY]"
        )
    return dict(checked(pairs, lambda name, source: [(_wanted(name), env_name(source))]))


def _wanted(name: object) -> str:
    return str(name) if name in _BROUGHT_ALONG else _not_a_setting(name)


_NAMES_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}},
        {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}},
    ]
}
Secrets = Annotated[Mapping[str, str], ReadOnly(), WithJsonSchema(_NAMES_SCHEMA), BeforeValidator(_as_secrets)]
"""Secrets by their names for Hermes, each with the name under which it is delivered."""
