"""The messengers that Hermes speaks besides those with settings of their own: variables and secrets turn them on.

Names are those of hermes-agent 0.19: https://hermes-agent.nousresearch.com/docs/user-guide/messaging
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["MESSENGERS", "MESSENGER_LOGINS", "Listener", "Messenger", "listeners", "wanted"]

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - in Hermes' own container


@dataclass(frozen=True)
class Listener:
    """Where a messenger is called by its service."""

    port_name: str
    """Name of the variable with its port."""

    port: int
    """Port, if the variable says nothing."""

    host_name: str | None = None
    """Name of the variable with the address on which it listens; none: it listens everywhere."""

    host: str = LOOPBACK
    """Address, if the variable says nothing."""


@dataclass(frozen=True)
class Messenger:
    """One of them."""

    needs: tuple[str, ...]
    """Names of the variables that turn it on: any of several that are joined by a bar, each of them needed."""

    listener: Listener | None = None
    """Where it is called; none: it calls."""


MESSENGERS: Mapping[str, Messenger] = MappingProxyType(
    {
        "whatsapp": Messenger(("WHATSAPP_ENABLED",)),
        "whatsapp_cloud": Messenger(
            ("WHATSAPP_CLOUD_PHONE_NUMBER_ID", "WHATSAPP_CLOUD_ACCESS_TOKEN"),
            Listener("WHATSAPP_CLOUD_WEBHOOK_PORT", 8090, "WHATSAPP_CLOUD_WEBHOOK_HOST", EVERYWHERE),
        ),
        "signal": Messenger(("SIGNAL_HTTP_URL", "SIGNAL_ACCOUNT")),
        "matrix": Messenger(("MATRIX_ACCESS_TOKEN|MATRIX_PASSWORD",)),
        "mattermost": Messenger(("MATTERMOST_TOKEN",)),
        "email": Messenger(("EMAIL_ADDRESS", "EMAIL_PASSWORD", "EMAIL_IMAP_HOST", "EMAIL_SMTP_HOST")),
        "sms": Messenger(("TWILIO_ACCOUNT_SID",), Listener("SMS_WEBHOOK_PORT", 8080, "SMS_WEBHOOK_HOST")),
        "homeassistant": Messenger(("HASS_TOKEN",)),
        "webhook": Messenger(("WEBHOOK_ENABLED",), Listener("WEBHOOK_PORT", 8644)),
        "irc": Messenger(("IRC_SERVER", "IRC_CHANNEL")),
        "line": Messenger(
            ("LINE_CHANNEL_ACCESS_TOKEN", "LINE_CHANNEL_SECRET"), Listener("LINE_PORT", 8646, "LINE_HOST", EVERYWHERE)
        ),
        "ntfy": Messenger(("NTFY_TOPIC",)),
        "simplex": Messenger(("SIMPLEX_WS_URL",)),
        "teams": Messenger(("TEAMS_CLIENT_ID", "TEAMS_CLIENT_SECRET", "TEAMS_TENANT_ID"), Listener("TEAMS_PORT", 3978)),
        "bluebubbles": Messenger(
            ("BLUEBUBBLES_SERVER_URL", "BLUEBUBBLES_PASSWORD"),
            Listener("BLUEBUBBLES_WEBHOOK_PORT", 8645, "BLUEBUBBLES_WEBHOOK_HOST"),
        ),
        "dingtalk": Messenger(("DINGTALK_CLIENT_ID", "DINGTALK_CLIENT_SECRET")),
        "feishu": Messenger(("FEISHU_APP_ID", "FEISHU_APP_SECRET")),
        "wecom": Messenger(("WECOM_BOT_ID", "WECOM_SECRET")),
        "wecom_callback": Messenger(
            ("WECOM_CALLBACK_CORP_ID", "WECOM_CALLBACK_CORP_SECRET"),
            Listener("WECOM_CALLBACK_PORT", 8645, "WECOM_CALLBACK_HOST", EVERYWHERE),
        ),
        "weixin": Messenger(("WEIXIN_TOKEN|WEIXIN_ACCOUNT_ID",)),
        "qqbot": Messenger(("QQ_APP_ID|QQ_CLIENT_SECRET",)),
        "yuanbao": Messenger(("YUANBAO_APP_ID|YUANBAO_APP_KEY", "YUANBAO_APP_SECRET")),
    }
)
"""By the names under which the gateway reports them."""

MESSENGER_LOGINS = frozenset(
    # A home takes several who are the same.
    name
    for key, messenger in MESSENGERS.items()
    if key != "homeassistant"
    for names in messenger.needs
    for name in names.split("|")
)
"""Names with which Hermes is somebody at one of them."""

_SWITCH = "_ENABLED"
_ON = frozenset({"1", "on", "true", "yes"})


def wanted(environment: Mapping[str, str], secrets: Mapping[str, str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the messengers that are to be there.

    Args:
        environment: Hermes' variables that are no secrets.
        secrets: Its secrets by their names.
        config: Its configuration.
    """

    def is_there(name: str) -> bool:
        value = environment.get(name, "")
        return name in secrets or (value.lower() in _ON if name.endswith(_SWITCH) else bool(value))

    def is_on(name: str, messenger: Messenger) -> bool:
        stated = _enabled(config, name)
        if stated is not None:
            return stated
        return all(any(map(is_there, alternatives.split("|"))) for alternatives in messenger.needs)

    return tuple(name for name, messenger in MESSENGERS.items() if is_on(name, messenger))


def _enabled(config: Mapping[str, Any], name: str) -> bool | None:
    platforms = config.get("platforms")
    for block in (config.get(name), platforms.get(name) if isinstance(platforms, Mapping) else None):
        if isinstance(block, Mapping) and isinstance(block.get("enabled"), bool):
            return bool(block["enabled"])
    return None


def listeners(names: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[tuple[Listener, str, int]]:
    """Find where messengers are called.

    Args:
        names: Those that are to be there.
        environment: Hermes' variables that are no secrets.

    Yields:
        Each listener, with its address and port.
    """
    for name in names:
        if listener := MESSENGERS[name].listener:
            stated = environment.get(listener.port_name, "")
            host = environment.get(listener.host_name, listener.host) if listener.host_name else EVERYWHERE
            yield listener, host, int(stated) if stated.isdecimal() else listener.port
