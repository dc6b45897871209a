"""One Hermes of an agent's: what it is configured with, whom it talks to, and what it may use."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from pve_agents.agents.hermes.config import HOME_CWDS, Settings
from pve_agents.agents.hermes.config_file import ConfigFile
from pve_agents.agents.hermes.docker import DATA, Limits, Size, Variables, Volumes, overlap
from pve_agents.agents.hermes.documents import Documents
from pve_agents.agents.hermes.literal import found_secrets, plain
from pve_agents.agents.hermes.messengers import MESSENGER_LOGINS, listeners, wanted
from pve_agents.agents.hermes.names import EnvName
from pve_agents.agents.hermes.platforms import ApiServer, Dashboard, Discord, Platforms, Slack, Telegram
from pve_agents.agents.hermes.spelling import unquoted_words, words_in
from pve_agents.agents.hermes.trees import names_needed
from pve_agents.agents.hermes.variables import Secrets, variable
from pve_agents.guest_places import is_withheld
from pve_agents.model import Flag, Model, merged
from pve_agents.problems import Key, Problem, ProblemsError, below, checked, dotted
from pve_agents.types import GuestPath, shown

__all__ = ["DATA_DIRECTORY", "Auth", "Profile"]

DATA_DIRECTORY = "/opt/hermes-data"
"""Directory for the data of the main profile; that of a further one ends in its name."""


class Auth(Model):
    """Logins that Hermes begins with."""

    secret: EnvName = "HERMES_AUTH_JSON"  # noqa: S105 - a name
    """Name of the secret that holds auth.json on one line. Defaults to HERMES_AUTH_JSON."""

    overwrite: Flag = False
    """Whether it replaces an auth.json that is there, with what Hermes renewed since. Defaults to false."""


_DROPPED = (
    "the image's supervisor starts `hermes gateway run` by itself, and drops every further argument; "
    "write settings.logging.level: DEBUG for --verbose, settings.hooks_auto_accept: true for --accept-hooks, "
    "and leave all others out"
)


def _no_path(settings: object) -> object:
    if isinstance(settings, str):
        raise ValueError(f"{shown(settings)} is a text; write config_file: {shown(settings)} in the place of settings")  # noqa: TRY004 - pydantic's way
    return settings


class Profile(Model):
    """One Hermes: its own container, data and settings."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "auth_file": "auth",
        "auth_json": "auth",
        "config": "settings",
        "env": "environment",
        "environment_files": "secrets",
        "extra_volumes": "volumes",
        "mounts": "volumes",
        "soul": "documents",
        "working_directory": "settings.terminal.cwd",
    }

    settings: Annotated[Settings, BeforeValidator(_no_path)] = Settings()
    """Hermes' configuration; excludes config_file."""

    config_file: ConfigFile | None = None
    """A config.yaml of Hermes on this machine instead, relative to homelab.yaml. Defaults to none."""

    environment: Variables = Field(default={}, validate_default=True)
    """Variables for Hermes that are no secrets. Defaults to none."""

    documents: Documents = Field(default={}, validate_default=True)
    """Documents by name, as text or {file: path}: SOUL.md, USER.md, MEMORY.md, or one of the working directory."""

    auth: Auth | None = None
    """Logins that Hermes begins with. Defaults to none."""

    platforms: Platforms = Platforms()
    """Where people talk to the agent; one that is stated is on. Defaults to none."""

    api_server: ApiServer = ApiServer()
    """The API server, on which programs talk to the agent."""

    dashboard: Dashboard = Dashboard()
    """The web dashboard, which is off by default."""

    limits: Limits = Limits()
    """Memory, CPU time and processes that it may use."""

    shm_size: Size = "1g"
    """Shared memory, which the browser needs. Defaults to 1g."""

    volumes: Volumes = ()
    """Further directories of the container, as host:container or host:container:ro. Defaults to none."""

    data_directory: GuestPath = DATA_DIRECTORY
    """Directory of the container for Hermes' data. Defaults to /opt/hermes-data; a profile's to -<profile> behind it."""

    secrets: Secrets = Field(default={}, validate_default=True)
    """Names of further secrets that Hermes gets; a mapping gives one another name here. Defaults to none."""

    @property
    def config(self) -> dict[str, Any]:
        """Hermes' configuration as plain data, the reader's own: the whole of what is declared."""
        return deepcopy(self._config)

    @cached_property
    def _config(self) -> dict[str, Any]:
        tree = merged({}, self.settings.tree if self._file_tree is None else self._file_tree)
        for name, platform in self.platforms.stated.items():
            if block := platform.block:
                stated = tree.get(name)
                tree[name] = merged(stated if isinstance(stated, Mapping) else {}, block)
        return tree

    @property
    def _file_tree(self) -> Mapping[str, Any] | None:
        return self.config_file.tree if self.config_file and not self.settings.stated else None

    @property
    def config_place(self) -> Key:
        """Where the keys of its configuration are stated."""
        return self.config_file.place if self.config_file else ("settings",)

    @property
    def workspace(self) -> str | None:
        """Working directory as Hermes' container sees it; none where another machine has it."""
        terminal = self._config["terminal"]
        if terminal.get("backend", "local") != "local":
            return None
        cwd = terminal.get("cwd")
        return DATA if cwd in HOME_CWDS else cwd

    @property
    def managed_environment(self) -> dict[str, str]:
        """Hermes' variables that are no secrets."""
        return {
            **self.api_server.environment,
            **self.dashboard.environment,
            "GATEWAY_ALLOW_ALL_USERS": "false",
            **{name: value for it in self.platforms.stated.values() for name, value in it.environment.items()},
            # What its tools take for the time, Hermes does too: it looks at its own variable, or its config.
            **({"HERMES_TIMEZONE": self.environment["TZ"]} if self._has_no_other_clock else {}),
            **self.environment,
        }

    @property
    def _has_no_other_clock(self) -> bool:
        return "TZ" in self.environment and not self._config.get("timezone")

    @property
    def ports(self) -> dict[Key, int]:
        """The ports that it listens on, by the keys of the settings that say so."""
        ports: dict[Key, int] = {("api_server", "port"): self.api_server.port}
        if self.dashboard.enabled:
            ports["dashboard", "port"] = self.dashboard.port
        if (telegram := self.platforms.telegram) and telegram.webhook_url:
            ports["platforms", "telegram", "webhook_port"] = telegram.webhook_port
        return ports | {
            ("environment", listener.port_name): port
            for listener, _, port in listeners(self.messengers, self.environment)
        }

    @property
    def own_secret_names(self) -> tuple[str, ...]:
        """Names of the secrets that no two profiles share."""
        platforms = self.platforms.stated.values()
        return ("API_SERVER_KEY", *(name for it in platforms for name in it.secret_names), *self.dashboard.secret_names)

    @property
    def logins(self) -> tuple[str, ...]:
        """Names of the secrets with which it is somebody at a platform, who cannot be two."""
        of_platforms = [name for it in self.platforms.stated.values() for name in it.needs]
        return (
            *of_platforms,
            *(name for name in self.secrets if name in MESSENGER_LOGINS and name not in of_platforms),
        )

    @property
    def messengers(self) -> tuple[str, ...]:
        """Names of the messengers that variables and secrets turn on."""
        return wanted(self.environment, self.secrets, self._config)

    @property
    def secret_map(self) -> dict[str, str]:
        """What each secret is called that Hermes gets: its name for Hermes, and the name under which it is delivered."""
        there = self.managed_environment
        needed = [name for name in names_needed(self._config) if name not in there]
        return {
            name: self.secrets.get(name, name)
            for name in dict.fromkeys([*needed, *self.own_secret_names, *self.secrets])
        }

    @field_serializer("settings")
    def _what_is_stated(self, settings: Settings) -> dict[str, Any]:
        return deepcopy(settings.stated)

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_is_no_setting(cls, values: object) -> object:
        return dict(checked(values, variable)) if isinstance(values, Mapping) else values

    @field_validator("data_directory")
    @classmethod
    def _data_has_a_place_of_its_own(cls, path: str) -> str:
        if is_withheld(path) or overlap(path, ["/home"]):
            raise ValueError(f"{shown(path)} belongs to the system; write another directory, such as /opt/hermes-data")
        return path

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        if isinstance(values, cls):
            return handler(values)
        # First what is stated, then each value by itself, then all of them together.
        problems = []
        if isinstance(values, Mapping):
            problems = list(cls._secrets_in(values))
            if values.get("extra_args"):
                problems.append(Problem(("extra_args",), _DROPPED))
            # An empty one stood in older examples.
            values = {key: value for key, value in values.items() if key != "extra_args"}
        try:
            profile = handler(values)
        except ValidationError as error:
            # What a setting says by itself is nearer to the point.
            found = Problem.all_of(error)
            said = {it.key for it in found}
            raise ProblemsError([it for it in problems if it.key not in said] + found) from None
        said = {it.key for it in problems}
        problems += [it for it in profile._problems() if it.key not in said]  # noqa: SLF001 - our own
        if problems:
            raise ProblemsError(problems)
        return profile

    @classmethod
    def _secrets_in(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        for area in ("settings", "environment"):
            yield from found_secrets(area, plain(values.get(area)))
        platforms = plain(values.get("platforms"))
        for name, platform in platforms.items() if isinstance(platforms, Mapping) else ():
            if isinstance(platform, Mapping):
                for it in found_secrets("platforms", platform.get("extra")):
                    yield Problem(("platforms", name, "extra", *it.key[1:]), it.sentence, it.value)

    def _problems(self) -> list[Problem]:
        """Say what is wrong although each setting is right by itself."""
        problems = below(("settings",), unquoted_words(self.settings))
        for name, stated in self.platforms.stated.items():
            problems += below(("platforms", name, "extra"), words_in(stated.extra))
        if self.config_file and self.settings.stated:
            problems.append(
                Problem(("config_file",), "settings are given too; keep one of them", self.config_file.path)
            )
        elif self.config_file:
            problems += self.config_file.problems
        problems += [
            Problem(("secrets", name), "environment has this name too; keep one of them")
            for name in self.secrets
            if name in self.environment
        ]
        for name, platform in (("telegram", Telegram), ("discord", Discord), ("slack", Slack)):
            if name not in self.platforms.enabled and (found := [it for it in platform.needs if it in self.secrets]):
                problems.append(
                    Problem(
                        ("secrets", found[0]),
                        f"this turns {platform.label} on with nothing said about who may talk to the agent; "
                        f"write platforms.{name}",
                    )
                )
        if self.config_file and self._file_tree is None:
            # What it turns on is not known.
            return problems
        first: dict[int, Key] = {}
        for key, port in self.ports.items():
            if (other := first.setdefault(port, key)) != key:
                has = "the API server has" if other == ("api_server", "port") else f"{dotted(other)} is"
                problems.append(Problem(key, f"{has} the port {port}; write another one"))
        return problems
