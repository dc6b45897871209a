"""The section ``hermes`` of an agent: Hermes Agent in Docker, with the names of its Docker guide and NixOS module.

https://hermes-agent.nousresearch.com/docs/user-guide/docker
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)

from pve_agents.agents.hermes.compose_words import network_problems
from pve_agents.agents.hermes.config import (
    BUILT_IN_PROVIDERS,
    HOME_CWDS,
    KEYLESS_PROVIDERS,
    PROVIDER_ALIASES,
    Settings,
    literal_secrets,
    named,
    names_needed,
    near_misses,
    tree_problems,
    unquoted_words,
    words_in,
)
from pve_agents.agents.hermes.docker import (
    DATA,
    RELEASE,
    Audio,
    Docker,
    Healthcheck,
    Image,
    Limits,
    Logging,
    Seconds,
    Service,
    Sidecar,
    Size,
    StopSeconds,
    Variables,
    Volumes,
    in_bytes,
    in_seconds,
    overlap,
)
from pve_agents.agents.hermes.messengers import MESSENGER_LOGINS, listeners, wanted
from pve_agents.agents.hermes.names import EnvName, env_name
from pve_agents.agents.hermes.neighbours import Holder, neighbour_problems
from pve_agents.agents.hermes.platforms import ApiServer, Dashboard, Discord, Platforms, Slack, Telegram
from pve_agents.agents.hermes.room import container_warnings, place_warnings, room_warnings
from pve_agents.agents.hermes.shown_places import link_problems, mount_problems, split
from pve_agents.agents.hermes.tools import tool_warnings
from pve_agents.agents.hermes.variables import Secrets, variable
from pve_agents.agents.kind import Container, Kind, Neighbour
from pve_agents.guest_places import is_withheld
from pve_agents.model import Flag, Model, ReadOnly, at_most, merged
from pve_agents.problems import InFile, Key, Problem, ProblemsError, below, checked, dotted
from pve_agents.reading import read_file
from pve_agents.stopping import DEFAULT_SECONDS, Stopping
from pve_agents.types import GuestPath, Text, holds_token, lies_in, shown
from pve_agents.yaml_text import parse_yaml_1_1

__all__ = ["DATA", "Auth", "Hermes", "Profile"]

_DATA_DIRECTORY = "/opt/hermes-data"

# Values -----------------------------------------------------------------------------------------------------------

_ProfileName = Annotated[
    str,
    Text("the name of a profile", r"[a-z][a-z0-9]{0,19}", "lower-case letters and digits, such as work", 20),
]
_SidecarName = Annotated[
    str,
    Text(
        "the name of a sidecar",
        r"[a-z][a-z0-9-]{0,28}[a-z0-9]",
        "2 to 30 lower-case letters, digits and hyphens, such as browser",
        30,
    ),
]
_LocalPath = Annotated[str, Text("the path of a file", r"[^\x00-\x1f\x7f]+", "one such as hermes/config.yaml", 1024)]


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

# A profile --------------------------------------------------------------------------------------------------------

HOME_DOCUMENTS = ("SOUL.md", "USER.md", "MEMORY.md")
_LONGEST_DOCUMENT = 1_000_000


def _read(path: str, info: ValidationInfo) -> bytes:
    """Read a file of the operator's, relative to the file of the settings."""
    directory = (info.context or {}).get("directory", Path())
    if not path.isprintable():
        raise ValueError(f"{shown(path)} is not the path of a file; write one such as documents/SOUL.md")
    try:
        return read_file(Path(directory, path))
    except FileNotFoundError:
        raise ValueError(f"{shown(path)} does not exist; name a file relative to homelab.yaml") from None
    except IsADirectoryError:
        raise ValueError(f"{shown(path)} is a directory; name a file") from None
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise ValueError(f"{shown(path)} {error}") from None


# What nobody writes as a whole text, such as ./notes, ../a b.md, ~/AGENTS.md, /etc/motd and docs/a.md; other programs want a
# sign before it.
_LIKE_A_PATH = re.compile(r"(?:\.{1,2}|~)/.*|/\S+|\S+\.(?:md|markdown|txt)")
_SIGN = re.compile(r"(?:@|file:(?://)?)(?=\S+$)")


def _path_in(text: str, info: ValidationInfo) -> str | None:
    """Return the path that a text is, where it is no document."""
    line = text.strip()
    if not line or len(line) > 255 or not line.isprintable():  # noqa: PLR2004 - the longest name of a file
        return None
    path = _SIGN.sub("", line)
    if path != line or _LIKE_A_PATH.fullmatch(path):
        return path
    directory = (info.context or {}).get("directory", Path())
    with suppress(OSError):
        return line if Path(directory, line).is_file() else None
    return None


def _no_path(settings: object) -> object:
    if isinstance(settings, str):
        raise ValueError(f"{shown(settings)} is a text; write config_file: {shown(settings)} in the place of settings")  # noqa: TRY004 - pydantic's way
    return settings


def _document(name: Any, content: Any, info: ValidationInfo) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked
    parts = name.split("/") if isinstance(name, str) else [""]
    if any(part in {"", ".", ".."} or not part.isprintable() for part in parts) or len(str(name)) > 255:  # noqa: PLR2004
        raise ValueError(
            f"{shown(name)} is not a document; write SOUL.md, USER.md, MEMORY.md, AGENTS.md, or a path below the "
            "working directory"
        )
    if isinstance(content, Mapping):
        if content.keys() != {"file"} or not isinstance(content["file"], str):
            raise ValueError("this is neither a text nor a file; write the text, or {file: path}")
        try:
            content = _read(content["file"], info).decode()
        except UnicodeDecodeError:
            raise ValueError(f"{shown(content['file'])} is not UTF-8; save the file as UTF-8") from None
    elif isinstance(content, str) and (path := _path_in(content, info)):
        # A part of a value is as secret as the whole.
        write = f"{{file: {shown(content)}}}" if path == content else "{file: path}, with the path alone"
        raise ValueError(
            f"{shown(content)} is the path of a file, and would be delivered as this very text; write {write}"
        )
    if not isinstance(content, str) or "\0" in content:
        raise ValueError(f"{shown(content)} is neither a text nor a file; write the text, or {{file: path}}")
    if len(content.encode()) > _LONGEST_DOCUMENT:
        raise ValueError(f"the document is {len(content.encode())} bytes long; write at most {_LONGEST_DOCUMENT}")
    if holds_token(content):
        raise ValueError("there seems to be a secret in the document; take it out, since the agent would read it aloud")
    yield name, content


_DOCUMENTS_SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"file": {"type": "string"}},
                "required": ["file"],
                "additionalProperties": False,
            },
        ]
    },
}
_REMEDIES = {
    "settings": "write ${NAME} in its place, and put the value into the environment or .env under that name",
    "config_file": "write ${NAME} in its place, and put the value into the environment or .env under that name",
    "platforms": "write ${NAME} in its place, and put the value into the environment or .env under that name",
    "environment": "list a name for it under secrets, and put the value into the environment or .env",
    "sidecars": "list a name for it under the sidecar's secrets, and put the value into the environment or .env",
    "networks": "leave it out",
}


def _found_secrets(area: str, tree: object) -> Iterator[Problem]:
    for key, value in literal_secrets(tree, (area,)):
        # A sidecar's are names; what is no list there is refused without being shown.
        if area != "sidecars" or "secrets" not in key:
            yield Problem(key, f"this seems to be a secret; {_REMEDIES[area]}{_without_a_key(key)}", value)


def _without_a_key(key: Key) -> str:
    """Say what to do where a server needs no key, and only an example has one."""
    match key:
        case (_, "providers", _, "api_key"):
            return "; where the server needs none, leave it out"
        case (_, "model", "api_key"):
            return "; where the server needs none, name it under providers, with its base_url alone"
    return ""


def _plain(values: object) -> object:
    return values.model_dump(mode="json", exclude_unset=True) if isinstance(values, BaseModel) else values


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

    config_file: _LocalPath | None = None
    """A config.yaml of Hermes on this machine instead, relative to homelab.yaml. Defaults to none."""

    environment: Variables = Field(default={}, validate_default=True)
    """Variables for Hermes that are no secrets. Defaults to none."""

    documents: Annotated[Mapping[str, str], ReadOnly(), WithJsonSchema(_DOCUMENTS_SCHEMA)] = Field(
        default={}, validate_default=True
    )
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

    data_directory: GuestPath = _DATA_DIRECTORY
    """Directory of the container for Hermes' data. Defaults to /opt/hermes-data; a profile's to -<profile> behind it."""

    secrets: Secrets = Field(default={}, validate_default=True)
    """Names of further secrets that Hermes gets; a mapping gives one another name here. Defaults to none."""

    _file_tree: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def config(self) -> dict[str, Any]:
        """Hermes' configuration as plain data: the whole of what is declared."""
        tree = merged({}, self.settings.tree if self._file_tree is None else self._file_tree)
        for name, platform in self.platforms.stated.items():
            if block := platform.block:
                stated = tree.get(name)
                tree[name] = merged(stated if isinstance(stated, Mapping) else {}, block)
        return tree

    @property
    def workspace(self) -> str | None:
        """Working directory as Hermes' container sees it; none where another machine has it."""
        terminal = self.config["terminal"]
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
        return "TZ" in self.environment and not self.config.get("timezone")

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
        return wanted(self.environment, self.secrets, self.config)

    @property
    def secret_map(self) -> dict[str, str]:
        """What each secret is called that Hermes gets: its name for Hermes, and the name under which it is delivered."""
        there = self.managed_environment
        needed = [name for name in names_needed(self.config) if name not in there]
        return {
            name: self.secrets.get(name, name)
            for name in dict.fromkeys([*needed, *self.own_secret_names, *self.secrets])
        }

    @field_serializer("settings")
    def _what_is_stated(self, settings: Settings) -> dict[str, Any]:
        return settings.stated

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_is_no_setting(cls, values: object) -> object:
        return dict(checked(values, variable)) if isinstance(values, Mapping) else values

    @field_validator("documents", mode="before")
    @classmethod
    def _documents_are_read(cls, values: object, info: ValidationInfo) -> object:
        if isinstance(values, str):
            raise ValueError(  # noqa: TRY004 - pydantic's way
                f"{shown(values)} is no mapping; write each document, such as {{AGENTS.md: {{file: documents/AGENTS.md}}}}"
            )
        if not isinstance(values, Mapping):
            return values
        return dict(checked(values, lambda name, content: _document(name, content, info)))

    @field_validator("data_directory")
    @classmethod
    def _data_has_a_place_of_its_own(cls, path: str) -> str:
        if is_withheld(path) or overlap(path, ["/home"]):
            raise ValueError(f"{shown(path)} belongs to the system; write another directory, such as /opt/hermes-data")
        return path

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:  # noqa: ANN401
        if isinstance(values, cls):
            return handler(values)
        errors = []
        if isinstance(values, Mapping):
            errors = list(cls._secrets_in(values))
            if values.get("extra_args"):
                errors.append(Problem(("extra_args",), _DROPPED))
            # An empty one stood in older examples.
            values = {key: value for key, value in values.items() if key != "extra_args"}
        profile = None
        try:
            profile = handler(values)
        except ValidationError as error:
            # What a setting says by itself is nearer to the point.
            found = Problem.all_of(error)
            said = {it.key for it in found}
            errors = [it for it in errors if it.key not in said] + found
        else:
            said = {it.key for it in errors}
            errors += [it for it in profile._problems(info) if it.key not in said]  # noqa: SLF001 - our own
        if errors or profile is None:
            raise ProblemsError(errors)
        return profile

    @classmethod
    def _secrets_in(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        for area in ("settings", "environment"):
            yield from _found_secrets(area, _plain(values.get(area)))
        platforms = _plain(values.get("platforms"))
        for name, platform in platforms.items() if isinstance(platforms, Mapping) else ():
            if isinstance(platform, Mapping):
                for it in _found_secrets("platforms", platform.get("extra")):
                    yield Problem(("platforms", name, "extra", *it.key[1:]), it.sentence, it.value)

    def _problems(self, info: ValidationInfo) -> list[Problem]:
        """Say what is wrong although each setting is right by itself."""
        errors = below(("settings",), unquoted_words(self.settings))
        for name, stated in self.platforms.stated.items():
            errors += below(("platforms", name, "extra"), words_in(stated.extra))
        if self.config_file is not None:
            errors += self._read_config(self.config_file, info)
        errors += [
            Problem(("secrets", name), "environment has this name too; keep one of them")
            for name in self.secrets
            if name in self.environment
        ]
        for name, platform in (("telegram", Telegram), ("discord", Discord), ("slack", Slack)):
            if name not in self.platforms.enabled and (found := [it for it in platform.needs if it in self.secrets]):
                errors.append(
                    Problem(
                        ("secrets", found[0]),
                        f"this turns {platform.label} on with nothing said about who may talk to the agent; "
                        f"write platforms.{name}",
                    )
                )
        if self._file_tree is None and self.config_file is not None:
            # What it turns on is not known.
            return errors
        first: dict[int, Key] = {}
        for key, port in self.ports.items():
            if (other := first.setdefault(port, key)) != key:
                has = "the API server has" if other == ("api_server", "port") else f"{dotted(other)} is"
                errors.append(Problem(key, f"{has} the port {port}; write another one"))
        return errors

    def _read_config(self, path: str, info: ValidationInfo) -> list[Problem]:
        if self.settings.stated:
            return [Problem(("config_file",), "settings are given too; keep one of them", path)]
        try:
            raw = _read(path, info)
        except ValueError as error:
            return [Problem(("config_file",), str(error), path)]
        errors = []
        try:
            # As Hermes itself would read it.
            tree = parse_yaml_1_1(raw)
        except ValueError as error:
            errors = [Problem((), str(error))]
        else:
            # Once more for the words, in which a number is spelled as the file has it.
            errors = _file_problems(tree) and _file_problems(parse_yaml_1_1(raw, as_written=True))
            self._file_tree = tree if isinstance(tree, dict) else None
        return below(("config_file", InFile(path)), errors)


_FILE_NEEDS: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        ("model", "provider"): "the provider, without which Hermes may send the key to a third party",
        ("model", "default"): "the model's name",
        ("terminal", "cwd"): "the working directory, such as /data/workspace",
    }
)


def _file_problems(tree: object) -> list[Problem]:
    """Say what is wrong with a config.yaml of Hermes', to which no default is added."""
    if not isinstance(tree, dict):
        return [Problem((), f"the file holds {shown(tree)}, not a mapping; write keys such as model")]
    errors = [Problem(it.key[1:], it.sentence) for it in _found_secrets("config_file", tree)]
    try:
        Settings.model_validate(tree)
    except ValidationError as error:
        return errors + Problem.all_of(error)
    for place, write in _FILE_NEEDS.items():
        there: Any = tree
        for part in place:
            there = there.get(part) if isinstance(there, Mapping) else None
        if there is None:
            errors.append(Problem(place, f"this is missing; write {write}"))
    return errors or tree_problems(tree)


_P = TypeVar("_P", bound=Profile)


# All of it --------------------------------------------------------------------------------------------------------


# What the default limits need.
_ROOMY_MIB = 4096
_ROOMY_CORES = 2


class Hermes(Profile, Kind):
    """Hermes Agent in Docker, in the agent's container. What is a profile's belongs to the main one."""

    synonyms: ClassVar[Mapping[str, str]] = {
        **Profile.synonyms,
        "networking": "network_mode",
        "ports": "api_server.port",
        "services": "sidecars",
    }

    image: Image = Image()
    """Image of Hermes."""

    docker: Docker = Docker()
    """Docker and where it comes from."""

    network_mode: Literal["host", "bridge"] = "host"
    """Network: the container's own, or one of Docker's with ports let through. Defaults to host."""

    restart: Literal["unless-stopped", "always", "on-failure", "no"] = "unless-stopped"
    """What becomes of Hermes when it ends. Defaults to unless-stopped."""

    stop_grace_seconds: StopSeconds = DEFAULT_SECONDS
    """Time in seconds to stop before it is killed, 30 to 240; its own budget is up to 90. Defaults to 120."""

    copy_data_before_upgrade: Flag = True
    """Whether the data is copied before another image runs, to go back to; two copies stay. Defaults to true."""

    healthcheck: Healthcheck = Healthcheck()
    """When Docker takes Hermes for unhealthy."""

    answer_seconds: Seconds = 120
    """Time in seconds that the model may take for the one answer that a deploy and verify ask for. Defaults to 120."""

    logging: Logging = Logging()
    """How much of the output Docker keeps."""

    audio: Audio | None = None
    """Bridge to the sound of a desktop. Defaults to no sound."""

    networks: Mapping[Service, Any] = Field(default={})
    """Networks in the words of Compose; with network_mode bridge only. Defaults to Compose's own."""

    sidecars: Annotated[Mapping[_SidecarName, Sidecar], at_most(64, "sidecars"), ReadOnly()] = Field(
        default={}, validate_default=True
    )
    """Services beside Hermes, by name. Defaults to none."""

    profiles: Annotated[Mapping[_ProfileName, Profile], at_most(32, "profiles"), ReadOnly()] = Field(
        default={}, validate_default=True
    )
    """Further profiles by name, whose settings start from those here. Defaults to none."""

    @property
    def answers_seconds(self) -> int:
        """Time in seconds that the answers of all profiles may take, one after the other."""
        return self.answer_seconds * (1 + len(self.profiles))

    @property
    def stopping(self) -> Stopping:
        """How long each layer around it waits for its end."""
        return Stopping(
            agent=self.stop_grace_seconds,
            others=tuple(in_seconds(sidecar.stop_grace_period) for sidecar in self.sidecars.values()),
        )

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that the image needs besides."""
        audio = ("libasound2-plugins",) if self.audio else ()
        return tuple(dict.fromkeys([*self.image.apt_packages, *audio]))

    def services(self, agent_name: str) -> dict[str, Profile]:
        """Return what runs by the name of its service, the main profile first, with nothing left to inherit."""
        return {
            agent_name: self,
            **{f"{agent_name}-{name}": self._complete(name, profile) for name, profile in self.profiles.items()},
        }

    def secret_names(self, agent_name: str) -> tuple[str, ...]:
        """Return the names of all secrets that are to be delivered."""
        profiles = self.services(agent_name).values()
        return tuple(
            dict.fromkeys(
                [
                    *(name for profile in profiles for name in profile.secret_map.values()),
                    *(profile.auth.secret for profile in profiles if profile.auth),
                    *(name for sidecar in self.sidecars.values() for name in sidecar.secrets),
                ]
            )
        )

    def variable_name(self, name: str) -> str:
        """Return the name of a variable that Hermes may have.

        Raises:
            ValueError: It may not. The phrase says why.
        """
        return env_name(name)

    @classmethod
    def neighbour_problems(cls, neighbours: Sequence[tuple[Neighbour, Self]]) -> Iterator[str]:
        """Say what two agents that run Hermes cannot both have."""
        holders = [hermes._holders(agent) for agent, hermes in neighbours]  # noqa: SLF001 - our own
        for mine, theirs in combinations(holders, 2):
            for one, another in product(mine, theirs):
                yield from neighbour_problems(one, another)

    def _holders(self, agent: Neighbour) -> list[Holder]:
        holders = []
        for place, profile in self._by_place():
            tokens = {name: profile.secret_map[name] for name in profile.logins}
            holders.append(Holder(agent, dotted((agent.name, "hermes", *place)), profile.data_directory, tokens))
        return holders

    def container_warnings(self, container: Container) -> Iterator[tuple[Key, str]]:
        """Find what the container may lack for it."""
        yield from container_warnings(container)

    def warnings(self, container: Container | None = None) -> Iterator[tuple[Key, str]]:
        """Find what may be meant, and yet is worth a second look.

        Args:
            container: The container that it runs in. Defaults to none: what fits into it is not looked at.

        Yields:
            The place of each, and a sentence without its full stop.
        """
        if container:
            yield from room_warnings([it.limits.memory for _, it in self._profiles()], self.audio, container)
            for key, profile in self._profiles():
                yield from (
                    (((*key, *it)), sentence) for it, sentence in place_warnings(profile.data_directory, container)
                )
        if self.image.is_moving and not self.image.digest:
            sentence = (
                f"{self.image.tag} means another image from time to time, and nothing says which one runs; "
                f"write a release such as {RELEASE}, or a digest"
            )
            yield ("image", "tag"), sentence
        for name, sidecar in self.sidecars.items():
            if sidecar.is_moving:
                sentence = f"{sidecar.image} means another image from time to time; write a release, or a digest"
                yield ("sidecars", name, "image"), sentence
        for place, profile in self._by_place():
            for key, sentence in _second_looks(profile):
                yield (*place, *key), sentence

    def fitted(self, container: Container) -> Self:
        """Return a copy with the defaults that follow from the container.

        Args:
            container: The container.

        Raises:
            ProblemsError: Something does not fit into it.
        """
        writable = [path for path, can_write in container.mounts.items() if can_write]
        workspace = f"{writable[0] if writable else DATA}/workspace"
        own = f"{workspace}-{{}}" if writable else workspace
        profiles = {name: self._placed(it, container, own.format(name)) for name, it in self.profiles.items()}
        fitted = self._placed(self, container, workspace).model_copy(update={"profiles": MappingProxyType(profiles)})
        errors = [*fitted._misfits(container, [DATA, *writable])]  # noqa: SLF001 - our own
        if errors:
            raise ProblemsError(errors)
        return fitted

    def _complete(self, name: str, profile: Profile) -> Profile:
        prefix = f"{name.upper()}_"
        update: dict[str, Any] = {
            "secrets": {it: prefix + it for it in profile.own_secret_names} | dict(profile.secrets)
        }
        if profile.config_file is None:
            update["settings"] = Settings.model_validate(merged(self.settings.stated, profile.settings.stated))
        return profile.model_copy(update=update)

    def _profiles(self) -> list[tuple[Key, Profile]]:
        """Return the profiles as they are stated, each with the keys on the way to it."""
        return [((), self), *((("profiles", name), it) for name, it in self.profiles.items())]

    def _by_place(self) -> Iterator[tuple[Key, Profile]]:
        """Yield each profile, complete, with the keys on the way to it."""
        yield (), self
        for name, profile in self.profiles.items():
            yield ("profiles", name), self._complete(name, profile)

    def _placed(self, profile: _P, container: Container, workspace: str) -> _P:
        """Return a profile with the defaults that follow from the container."""
        update: dict[str, Any] = {}
        stated = merged(self.settings.stated, profile.settings.stated)
        if (
            profile.config_file is None
            and profile.settings.terminal.cwd is None
            and stated.get("terminal", {}).get("backend", "local") == "local"
        ):
            terminal = profile.settings.terminal.model_copy(update={"cwd": workspace})
            update["settings"] = profile.settings.model_copy(update={"terminal": terminal})
        unfit = {
            "memory": container.memory_mib < _ROOMY_MIB and "memory" not in profile.limits.model_fields_set,
            "cpus": container.cores < _ROOMY_CORES and "cpus" not in profile.limits.model_fields_set,
        }
        if any(unfit.values()):
            update["limits"] = profile.limits.model_copy(update={name: None for name, does in unfit.items() if does})
        return profile.model_copy(update=update)

    @field_validator("profiles")
    @classmethod
    def _profiles_keep_their_things_apart(cls, profiles: Mapping[str, Profile]) -> Mapping[str, Profile]:
        apart = {}
        for name, profile in profiles.items():
            update: dict[str, Any] = {}
            if "data_directory" not in profile.model_fields_set:
                update["data_directory"] = f"{_DATA_DIRECTORY}-{name}"
            if profile.auth and "secret" not in profile.auth.model_fields_set:
                its_own = f"{name.upper()}_{profile.auth.secret}"
                update["auth"] = profile.auth.model_copy(update={"secret": its_own})
            apart[name] = profile.model_copy(update=update)
        return MappingProxyType(apart)

    @classmethod
    def _secrets_in(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        yield from super()._secrets_in(values)
        for area in ("sidecars", "networks"):
            yield from _found_secrets(area, _plain(values.get(area)))

    def _problems(self, info: ValidationInfo) -> list[Problem]:
        errors = super()._problems(info)
        of_main = tree_problems(self.settings.tree) if self.config_file is None else []
        errors += below(("settings",), of_main)
        said = {(it.key, it.sentence) for it in of_main}
        for name, profile in self.profiles.items():
            if profile.config_file is None:
                # What it inherits is said once, where it stands.
                found = [it for it in self._inherited_problems(name, profile) if (it.key, it.sentence) not in said]
                errors += below(("profiles", name, "settings"), found)
        for name, network in self.networks.items():
            errors += below(("networks", name), network_problems(network))
        return [*errors, *self._network_problems(), *self._clashes()]

    def _inherited_problems(self, name: str, profile: Profile) -> list[Problem]:
        try:
            return tree_problems(self._complete(name, profile).settings.tree)
        except ValidationError as error:
            return Problem.all_of(error)

    def _network_problems(self) -> Iterator[Problem]:
        if self.network_mode == "bridge":
            for place, profile in self._profiles():
                # Docker lets the port through only where the dashboard listens on the container's outside.
                if profile.dashboard.enabled and profile.dashboard.auth is None:
                    yield Problem(
                        (*place, "dashboard", "auth"),
                        "with network_mode: bridge Hermes starts no dashboard that nobody is asked a password for; "
                        "write auth: basic and username",
                    )
            for name, sidecar in self.sidecars.items():
                if unknown := [it for it in sidecar.networks if it not in {*self.networks, "default"}]:
                    yield Problem(
                        ("sidecars", name, "networks"),
                        f"{', '.join(unknown)} is not under networks; write it there too",
                    )
            return
        reason = (
            "with network_mode: host all services are in the container's own network, where Docker has none to offer; "
            "leave it out, or write network_mode: bridge"
        )
        if self.networks:
            yield Problem(("networks",), reason)
        for name, sidecar in self.sidecars.items():
            for key in ("networks", "ports"):
                if getattr(sidecar, key):
                    yield Problem(("sidecars", name, key), reason)

    def _clashes(self) -> Iterator[Problem]:
        """Find what two profiles cannot both have."""
        profiles = self._profiles()
        ports: dict[int, tuple[Key, Key]] = {}
        directories: dict[str, Key] = {}
        for place, profile in profiles:
            for key, port in profile.ports.items():
                owner, first = ports.setdefault(port, (place, key))
                # What two of one profile have in common is said with it.
                if owner != place:
                    taken = dotted((*owner, *first))
                    yield Problem((*place, *key), f"{taken} is {port} too; give each its own", port)
            directory, where = profile.data_directory, (*place, "data_directory")
            for other, first in directories.items():
                if overlap(directory, [other]):
                    yield Problem(
                        where,
                        f"{shown(directory)} is not apart from {dotted(first)}, {shown(other)}, and two gateways destroy "
                        "each other's data; write directories that lie side by side",
                        directory,
                    )
            directories[directory] = where
        yield from self._shared_tokens()
        for place, profile in profiles:
            foreign = [directory for directory, owner in directories.items() if owner[:-1] != place]
            for i, volume in enumerate(profile.volumes):
                if overlap(volume.partition(":")[0], foreign):
                    yield Problem(
                        (*place, "volumes", i),
                        f"{shown(volume)} shows the data of another profile; leave it out",
                        volume,
                    )

    def _shared_tokens(self) -> Iterator[Problem]:
        first: dict[str, Key] = {}
        for place, profile in self._profiles():
            prefix = f"{place[1]}_".upper() if place else ""
            for name in profile.logins:
                source = profile.secrets.get(name, prefix + name)
                if first.setdefault(source, place) != place:
                    yield Problem(
                        (*place, "secrets", name),
                        f"another profile has the token {source} too, and each would take messages from the other; "
                        "give each its own",
                    )

    def _link_problems(self, container: Container) -> Iterator[Problem]:
        lists = [((*key, "volumes"), it.volumes) for key, it in self._profiles()]
        lists += [(("sidecars", name, "volumes"), it.volumes) for name, it in self.sidecars.items()]
        volumes = [((*key, i), volume) for key, its in lists for i, volume in enumerate(its)]
        sources = [(key, split(volume)[0]) for key, volume in volumes]
        if self.audio:
            sources += [(("audio", key), getattr(self.audio, key)) for key in ("pulse_socket", "pulse_cookie")]
        shown_ones = sorted(split(volume) for _, volume in volumes)
        others = dict(shown_ones) | {it.data_directory: True for _, it in self._profiles()}
        yield from link_problems(sources, container.mounts, others)

    def _misfits(self, container: Container, writable: Sequence[str]) -> Iterator[Problem]:
        """Find what does not fit into the container."""
        yield from mount_problems([*container.mounts])
        yield from self._link_problems(container)
        services = self.services(container.name)
        for name, sidecar in self.sidecars.items():
            if name in services or f"{container.name}-{name}" in services:
                yield Problem(("sidecars", name), "a profile's service has this name; write another one")
            if unknown := [it for it in sidecar.depends_on if it not in {*services, *self.sidecars}]:
                known = ", ".join([*services, *self.sidecars])
                yield Problem(
                    ("sidecars", name, "depends_on"), f"{', '.join(unknown)} is no service here; they are {known}"
                )
            for i, device in enumerate(sidecar.devices):
                if (path := device.partition(":")[0]) not in container.devices:
                    yield Problem(
                        ("sidecars", name, "devices", i),
                        f"{shown(path)} is no device of the agent; write it under agents.{container.name}.devices too",
                        device,
                    )
        for (key, _), profile in zip(self._by_place(), services.values(), strict=True):
            yield from below(key, _misfits(profile, container, writable))
            inside = [path for path in container.mounts if lies_in(profile.data_directory, path)]
            if inside and self.profiles:
                yield Problem(
                    (*key, "data_directory"),
                    f"{shown(profile.data_directory)} lies in the mount {shown(inside[0])}, which every profile has; "
                    "write a directory outside the mounts",
                    profile.data_directory,
                )


Profile.not_here = dict.fromkeys(Hermes.model_fields, "all profiles share this; write it beside profiles")


def _misfits(profile: Profile, container: Container, writable: Sequence[str]) -> Iterator[Problem]:
    limits = profile.limits
    if limits.memory and in_bytes(limits.memory) > container.memory_mib * 2**20:
        yield Problem(
            ("limits", "memory"),
            f"{limits.memory} is more than the container's {container.memory_mib} MiB; write less, or null for no limit",
            limits.memory,
        )
    if limits.cpus and limits.cpus > container.cores:
        yield Problem(
            ("limits", "cpus"),
            f"{limits.cpus:g} is more than the container's {container.cores} cores; write less, or null for no limit",
            limits.cpus,
        )
    for i, volume in enumerate(profile.volumes):
        target = volume.split(":")[1]
        if target in container.mounts:
            yield Problem(("volumes", i), f"{shown(target)} is a mount of the agent; write another place", volume)
    terminal = profile.config["terminal"]
    if terminal.get("backend", "local") == "local":
        yield from _cwd_problems(profile, str(profile.workspace), writable)
    elif lost := [name for name in profile.documents if name not in HOME_DOCUMENTS]:
        yield Problem(
            ("documents", lost[0]),
            f"this belongs into the working directory, and terminal.backend: {terminal['backend']} has it elsewhere; "
            "leave it out",
        )


def _cwd_problems(profile: Profile, cwd: str, writable: Sequence[str]) -> Iterator[Problem]:
    place = ("settings",) if profile.config_file is None else ("config_file", InFile(profile.config_file))
    plain = re.fullmatch(r"/[^\x00-\x1f\x7f:]+", cwd) and not {"", ".", ".."} & set(cwd[1:].split("/"))
    if not plain:
        reason = "is not a plain absolute path"
    elif not any(lies_in(cwd, it) for it in writable):
        reason = f"is not in a directory that Hermes may write, which are {', '.join(writable)}"
    else:
        return
    yield Problem(
        (*place, "terminal", "cwd"), f"{shown(cwd)} {reason}; write one such as {writable[-1]}/workspace", cwd
    )


_MEMORY_LIMITS = {"USER.md": ("user_char_limit", 1375), "MEMORY.md": ("memory_char_limit", 2200)}


def _second_looks(profile: Profile) -> Iterator[tuple[Key, str]]:
    config = profile.config
    stated = named(config["model"]["provider"])
    provider = stated if stated in config.get("providers", {}) else PROVIDER_ALIASES.get(stated, stated)
    names = BUILT_IN_PROVIDERS.get(provider, ()) if provider not in KEYLESS_PROVIDERS else ()
    there = {*profile.secret_map, *profile.environment}
    if provider not in config.get("providers", {}) and names and not there & set(names) and not profile.auth:
        sentence = (
            f"{provider} takes its key from {names[0]}, which is not under secrets; "
            "write it there, unless Hermes is logged in by itself"
        )
        yield ("settings", "model", "provider"), sentence
    for name, (key, limit) in _MEMORY_LIMITS.items():
        size, most = len(profile.documents.get(name, "")), config.get("memory", {}).get(key, limit)
        if size > most:
            sentence = (
                f"the text has {size} characters, and Hermes keeps {most} in it; "
                f"shorten it, or write settings.memory.{key}"
            )
            yield ("documents", name), sentence
    # Where the file has it without quotes, false is what Hermes reads, and takes for off.
    if config.get("approvals", {}).get("mode") in ("off", False):
        yield ("settings", "approvals", "mode"), "off lets every command run with nobody asked; write smart or manual"
    where: Key = ("settings",) if profile.config_file is None else ("config_file", InFile(profile.config_file))
    yield from (((*where, *key), sentence) for key, sentence in tool_warnings(config))
    if profile.config_file is None:
        yield from ((("settings", *key), sentence) for key, sentence in near_misses(profile.settings))
