"""Where people and programs talk to Hermes: the API server, the dashboard, and the messaging platforms.

https://hermes-agent.nousresearch.com/docs/user-guide/messaging
"""

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pve_agents.agents.docker import HttpUrl
from pve_agents.agents.hermes.messengers import MESSENGERS, Messenger
from pve_agents.model import Flag, Model, distinct, merged
from pve_agents.problems import Problem, ProblemsError
from pve_agents.types import Number, Text, is_credential_name, plain_url, shown

__all__ = ["ApiServer", "Dashboard", "Discord", "Platform", "Platforms", "Slack", "Telegram"]

# Values -----------------------------------------------------------------------------------------------------------


def _bind_address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError(f"{shown(value)} is not an address; write {_ADDRESS_WRITE}") from None


def _origin(value: str) -> str:
    url = urlsplit(plain_url(value)) if value != "*" else None
    if url and (url.path or url.query or url.fragment):
        raise ValueError(f"{shown(value)} is more than an origin; write {url.scheme}://{url.netloc}")
    return value


def _digits(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_ADDRESS_WRITE = "an IPv4 address such as 127.0.0.1"
_BindAddress = Annotated[str, Text("an address", r"[0-9.]+", _ADDRESS_WRITE, 15, _bind_address)]
# Hermes runs as no root, and so cannot take a lower one.
_Port = Annotated[int, Number("a port for a program that is not root", 1024, 65_535)]
_Line = Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]+", "one line of text", 1024)]
_Origin = Annotated[
    str, Text("an origin", r"\*|https?://[\x21-\x7e]+", "one such as https://chat.home.arpa", 1024, _origin)
]
_ID_SCHEMA = {"type": ["string", "integer"], "pattern": "^-?[0-9]+$"}
_UserId = Annotated[
    str,
    WithJsonSchema(_ID_SCHEMA),
    Text("a numeric id", r"[1-9][0-9]{2,20}", "the number, not the name", 21),
    BeforeValidator(_digits),
]
_ChatId = Annotated[
    str,
    WithJsonSchema(_ID_SCHEMA),
    Text("a numeric id", r"-?[1-9][0-9]{2,20}", "the number, not the name", 22),
    BeforeValidator(_digits),
]
_SlackUser = Annotated[
    str, Text("the id of a Slack member", r"[UW][A-Z0-9]{5,20}", "one that starts with U or W, such as U012AB3CD", 21)
]
_SlackChannel = Annotated[
    str, Text("the id of a Slack channel", r"[CDG][A-Z0-9]{5,20}", "one that starts with C, D or G", 21)
]


def _without_topic(variable: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and re.fullmatch(r"-?\w+:\d+(?:\.\d+)?", value):
            raise ValueError(
                f"{shown(value)} is a chat and a topic or thread in it; write what is before the colon here, and what is "
                f"behind it under environment, as {variable}"
            )
        return value

    return BeforeValidator(check)


class ApiServer(Model):
    """The API server, which is always on: it also tells Hermes' health. Its key is the secret API_SERVER_KEY."""

    carriers: ClassVar[Mapping[str, str]] = dict.fromkeys(("api_key", "key", "token"), "API_SERVER_KEY")

    host: _BindAddress = "127.0.0.1"
    """Address that it listens on. Defaults to 127.0.0.1."""

    port: _Port = 8642
    """Port. Defaults to 8642."""

    cors_origins: Annotated[tuple[_Origin, ...], AfterValidator(distinct)] = ()
    """Web pages that may call it, as origins such as https://chat.home.arpa. Defaults to none."""

    model_name: _Line | None = None
    """What it calls the agent in its list of models. Defaults to Hermes' own, hermes-agent."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings as Hermes' variables."""
        values = {
            "API_SERVER_ENABLED": "true",
            "API_SERVER_HOST": self.host,
            "API_SERVER_PORT": str(self.port),
            "API_SERVER_CORS_ORIGINS": ",".join(self.cors_origins),
            "API_SERVER_MODEL_NAME": self.model_name or "",
        }
        return {name: value for name, value in values.items() if value}


_DASHBOARD_NEEDS: Mapping[str | None, tuple[str, ...]] = MappingProxyType(
    {None: (), "basic": ("username",), "oidc": ("oidc_issuer", "oidc_client_id"), "nous": ("oauth_client_id",)}
)


class Dashboard(Model):
    """The web dashboard."""

    carriers: ClassVar[Mapping[str, str]] = {
        "password": "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD",
        "secret": "HERMES_DASHBOARD_BASIC_AUTH_SECRET",
    }

    enabled: Flag = False
    """Whether it runs. Defaults to false."""

    host: _BindAddress = "127.0.0.1"
    """Address that it listens on; beyond loopback only with auth. Defaults to 127.0.0.1."""

    port: _Port = 9119
    """Port. Defaults to 9119."""

    auth: Literal["basic", "oidc", "nous"] | None = None
    """Who may log in: basic by a password, oidc by an identity provider, nous by Nous Portal. Defaults to none."""

    username: _Line | None = None
    """Name for basic. Its secrets are HERMES_DASHBOARD_BASIC_AUTH_PASSWORD and HERMES_DASHBOARD_BASIC_AUTH_SECRET."""

    public_url: HttpUrl | None = None
    """URL under which browsers reach it. Defaults to none."""

    oidc_issuer: HttpUrl | None = None
    """URL of the identity provider, for oidc."""

    oidc_client_id: _Line | None = None
    """Client id at the identity provider, for oidc."""

    oauth_client_id: _Line | None = None
    """Client id at Nous Portal, for nous."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings of its login as Hermes' variables; the image itself needs host and port."""
        values = {
            "HERMES_DASHBOARD_PUBLIC_URL": self.public_url,
            "HERMES_DASHBOARD_BASIC_AUTH_USERNAME": self.username,
            "HERMES_DASHBOARD_OIDC_ISSUER": self.oidc_issuer,
            "HERMES_DASHBOARD_OIDC_CLIENT_ID": self.oidc_client_id,
            "HERMES_DASHBOARD_OAUTH_CLIENT_ID": self.oauth_client_id,
        }
        return {name: value for name, value in values.items() if value} if self.enabled else {}

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of the secrets that it needs."""
        if not self.enabled or self.auth != "basic":
            return ()
        return "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD", "HERMES_DASHBOARD_BASIC_AUTH_SECRET"

    @model_validator(mode="after")
    def _nobody_gets_in_unasked(self) -> Self:
        errors = []
        if self.enabled and self.auth is None and not ipaddress.ip_address(self.host).is_loopback:
            errors.append(
                Problem(
                    ("auth",),
                    f"the dashboard would listen on {self.host} with nobody asked for a password, and Hermes refuses "
                    "to start it so; write auth: basic and username, or host: 127.0.0.1",
                )
            )
        for auth, needs in _DASHBOARD_NEEDS.items():
            for key in needs:
                value = getattr(self, key)
                if auth == self.auth and value is None:
                    errors.append(Problem((key,), f"auth: {auth} needs this; write it"))
                if auth != self.auth and value is not None:
                    errors.append(Problem((key,), f"this belongs to auth: {auth}; write that too, or leave it out"))
        if errors:
            raise ProblemsError(errors)
        return self


class Platform(Model):
    label: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    lists: ClassVar[tuple[str, ...]] = ("allowed_users",)
    opens: ClassVar[frozenset[str]] = frozenset({"allow_all", "allowed_roles", "group_allowed_chats"})
    synonyms: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("allow_from", "allow_list", "allowed_ids", "allowed_user_ids", "allowlist", "user_ids", "users", "whitelist"),
        "allowed_users",
    )

    allow_all: Flag = False
    """Whether everybody may talk to the agent. Defaults to false."""

    extra: Mapping[str, Any] = Field(default={})
    """Further keys of the platform's block in Hermes' configuration. Defaults to none."""

    @property
    def block(self) -> dict[str, Any]:
        """The platform's block in Hermes' configuration."""
        return dict(self.extra)

    @property
    def environment(self) -> dict[str, str]:
        """The settings as Hermes' variables."""
        values = {"allow_all_users": "true" if self.allow_all else "false"}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in {"allow_all", "extra", "base_url"} and value:
                values[name] = ",".join(value) if isinstance(value, tuple) else str(value)
        return {f"{self.label.upper()}_{name.upper()}": value for name, value in values.items()}

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of the secrets that it needs."""
        return self.needs

    @model_validator(mode="after")
    def _says_who(self) -> Self:
        stated = [name for name in self.lists if getattr(self, name)]
        if self.allow_all and stated:
            raise ValueError(
                f"allow_all lets everybody in, and {' and '.join(stated)} would not matter; leave allow_all out"
            )
        if not self.allow_all and not stated:
            raise ValueError(
                f"nobody may talk to the agent; write {' or '.join(it for it in self.lists if it not in self.opens)}"
            )
        return self


_Proxy = Annotated[
    str,
    Text(
        "the URL of a proxy",
        r"(?:https?|socks5h?)://[^\s@/]+:[0-9]{1,5}",
        "one without credentials, such as socks5://10.1.10.1:1080",
        255,
    ),
]


_WEBHOOK_PORT = "TELEGRAM_WEBHOOK_PORT"


class Telegram(Platform):
    """A Telegram bot. Its token is the secret TELEGRAM_BOT_TOKEN."""

    label = "Telegram"
    needs = ("TELEGRAM_BOT_TOKEN",)
    lists = ("allowed_users", "group_allowed_users", "group_allowed_chats")
    carriers: ClassVar[Mapping[str, str]] = {
        "bot_token": "TELEGRAM_BOT_TOKEN",
        "token": "TELEGRAM_BOT_TOKEN",
        "webhook_secret": "TELEGRAM_WEBHOOK_SECRET",
    }

    allowed_users: Annotated[tuple[_UserId, ...], AfterValidator(distinct)] = ()
    """Numeric ids of the users who may talk to the agent. Defaults to none."""

    group_allowed_users: Annotated[tuple[_UserId, ...], AfterValidator(distinct)] = ()
    """Numeric ids of users who may do so in groups. Defaults to none."""

    group_allowed_chats: Annotated[tuple[_ChatId, ...], AfterValidator(distinct)] = ()
    """Numeric ids of groups in which everybody may. Defaults to none."""

    home_channel: Annotated[_ChatId | None, _without_topic("TELEGRAM_HOME_CHANNEL_THREAD_ID")] = None
    """Numeric id of the chat for what the agent says by itself. Defaults to none."""

    home_channel_name: _Line | None = None
    """Name of that chat. Defaults to none."""

    proxy: _Proxy | None = None
    """URL of a proxy to Telegram, without credentials. Defaults to none."""

    webhook_url: HttpUrl | None = None
    """URL at which Telegram calls; needs the secret TELEGRAM_WEBHOOK_SECRET. Defaults to asking Telegram."""

    webhook_port: _Port = 8443
    """Port on which Hermes listens for those calls, on every network. Defaults to 8443."""

    base_url: HttpUrl | None = None
    """Another Bot API server than Telegram's, such as http://10.1.10.5:8081/bot. Defaults to none."""

    @property
    def block(self) -> dict[str, Any]:
        """The platform's block in Hermes' configuration."""
        return merged(self.extra, {"extra": {"base_url": self.base_url}} if self.base_url else {})

    @property
    def environment(self) -> dict[str, str]:
        """The settings as Hermes' variables."""
        values = super().environment
        return values if self.webhook_url else {name: it for name, it in values.items() if name != _WEBHOOK_PORT}

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of the secrets that it needs."""
        return (*self.needs, "TELEGRAM_WEBHOOK_SECRET") if self.webhook_url else self.needs


class Discord(Platform):
    """A Discord bot. Its token is the secret DISCORD_BOT_TOKEN."""

    label = "Discord"
    needs = ("DISCORD_BOT_TOKEN",)
    lists = ("allowed_users", "allowed_roles")
    carriers: ClassVar[Mapping[str, str]] = dict.fromkeys(("bot_token", "token"), "DISCORD_BOT_TOKEN")

    allowed_users: Annotated[tuple[_UserId, ...], AfterValidator(distinct)] = ()
    """Numeric ids of the users who may talk to the agent. Defaults to none."""

    allowed_roles: Annotated[tuple[_UserId, ...], AfterValidator(distinct)] = ()
    """Numeric ids of roles whose members may. Defaults to none."""

    home_channel: Annotated[_UserId | None, _without_topic("DISCORD_HOME_CHANNEL_THREAD_ID")] = None
    """Numeric id of the channel for what the agent says by itself. Defaults to none."""


class Slack(Platform):
    """A Slack app. Its tokens are the secrets SLACK_BOT_TOKEN and SLACK_APP_TOKEN."""

    label = "Slack"
    needs = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN")
    carriers: ClassVar[Mapping[str, str]] = {
        "app_token": "SLACK_APP_TOKEN",
        "bot_token": "SLACK_BOT_TOKEN",
        "token": "SLACK_BOT_TOKEN",
    }

    allowed_users: Annotated[tuple[_SlackUser, ...], AfterValidator(distinct)] = ()
    """Ids of the members who may talk to the agent, such as U012AB3CD. Defaults to none."""

    home_channel: Annotated[_SlackChannel | None, _without_topic("SLACK_HOME_CHANNEL_THREAD_ID")] = None
    """Id of the channel for what the agent says by itself. Defaults to none."""


def _by_variables(messenger: Messenger) -> str:
    names = [alternatives.partition("|")[0] for alternatives in messenger.needs]
    secrets = [name for name in names if is_credential_name(name)]
    switches = [f'{name}: "true"' for name in names if name.endswith("_ENABLED")]
    variables = [name for name in names if name not in secrets and not name.endswith("_ENABLED")]
    places = {"secrets": secrets, "environment": switches + variables}
    write = " and ".join(f"{', '.join(it)} under {place}" for place, it in places.items() if it)
    return f"variables turn this one on; leave it out here, and write {write} (docs/hermes.md, other messengers)"


class Platforms(Model):
    """Where people talk to the agent; one that is stated is on."""

    not_here: ClassVar[Mapping[str, str]] = {name: _by_variables(it) for name, it in MESSENGERS.items()}

    telegram: Telegram | None = None
    """A Telegram bot. Defaults to none."""

    discord: Discord | None = None
    """A Discord bot. Defaults to none."""

    slack: Slack | None = None
    """A Slack app. Defaults to none."""

    @property
    def stated(self) -> dict[str, Platform]:
        """Those that are on, by name."""
        return {name: it for name in ("telegram", "discord", "slack") if (it := getattr(self, name))}

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of those that are on."""
        return tuple(self.stated)
