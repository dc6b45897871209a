"""What the program in a container is told: written where the settings are, read where it runs.

Not a word of it is a secret: those arrive in a file of their own, and are known here by their names.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "Checks",
    "Compose",
    "Data",
    "Directory",
    "Document",
    "Engine",
    "Image",
    "Json",
    "Plan",
    "PlanError",
    "Secret",
    "Seed",
    "Service",
    "SettingNames",
    "Sidecar",
    "Workspace",
]

Json = typing.Any
"""Plain data, which only the kind of agent can read that has written it."""


class PlanError(ValueError):
    """What was read is no plan; the message says where and why."""


@dataclass(frozen=True)
class Workspace:
    """A directory of the container that a user must be able to use."""

    path: str
    uid: int
    gid: int
    read_only: bool = False

    @property
    def owner(self) -> str:
        """The user, as ``chown`` writes it."""
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True)
class Engine:
    """Docker itself."""

    source: str
    """Whose packages: ``docker`` or ``debian``."""

    daemon: Mapping[str, Json]
    """What the daemon is told; other settings that it has stay."""

    stop_seconds: int
    """How long systemd lets the daemon take to stop."""


@dataclass(frozen=True)
class Image:
    """The image that the services run."""

    base: str
    """What is pulled: a reference."""

    run: str
    """What runs: the same, or the name of what is built on it from ``image/`` in the payload."""

    repository: str
    """The base's name without tag and digest."""

    is_moving: bool
    """Whether the same reference may be another image tomorrow."""

    gigabytes: int
    """About how much room it needs."""

    packages_of: str = "Debian"
    """Whose packages are added to it, where it is built."""


@dataclass(frozen=True)
class Secret:
    """A secret of a service, by its name."""

    name: str
    """The variable that the service reads."""

    source: str
    """What it is called in the file of secrets."""

    least_length: int = 0
    consequence: str = ""
    """What happens with a shorter one, as the end of a sentence."""


@dataclass(frozen=True)
class Document:
    """A text that is the agent's own once it is delivered."""

    name: str
    """Its path below the service's ``documents`` in the payload: a folder and the name that messages show."""

    target: str
    """Where it goes."""


@dataclass(frozen=True)
class Seed:
    """A file of the agent's that is made from a secret."""

    source: str
    """The secret's name in the file of secrets."""

    target: str
    overwrite: bool = False
    """Whether it is written again when the agent has changed it."""


@dataclass(frozen=True)
class Service:
    """One agent: a service of the compose file."""

    name: str
    data_directory: str
    directories: tuple[str, ...] = ()
    """Further directories that the agent must be able to write in."""

    files: tuple[str, ...] = ()
    """What is delivered of its ``managed`` directory in the payload, beside ``env``."""

    secrets: tuple[Secret, ...] = ()
    documents: tuple[Document, ...] = ()
    seeds: tuple[Seed, ...] = ()
    private: tuple[str, ...] = ()
    """Files that nobody but the agent may read, where they are."""

    checks: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """What the kind's checks want to know."""


@dataclass(frozen=True)
class Sidecar:
    """A service that is no agent: beside the agents, or all that there is."""

    name: str
    image: str
    """What it runs: a reference."""

    secrets: tuple[str, ...] = ()
    """Those that it gets in a file of its own, for root alone."""

    ends: bool = False
    """Whether it may do its work and end."""


@dataclass(frozen=True)
class Directory:
    """A directory that is made where there is none; what is there is left as it is."""

    path: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o750


@dataclass(frozen=True)
class Data:
    """A directory with what the services beside the agents keep: another image of any of them may change it."""

    name: str
    """What its copy is called."""

    directory: str


@dataclass(frozen=True)
class SettingNames:
    """What the settings are called that a message tells people to change."""

    docker_source: str
    registry_mirrors: str
    network: str
    image_tag: str
    image_repository: str
    image_packages: str
    memory: str
    copies: str


@dataclass(frozen=True)
class Compose:
    """What Docker Compose runs in the container."""

    title: str
    """What it is called in a sentence."""

    engine: Engine
    network: str
    """``host``, ``bridge`` or ``none``."""

    settings: SettingNames
    services: tuple[Service, ...] = ()
    checks: str = ""
    """The module of the kind that can tell whether its agents work."""

    uid: int = 0
    gid: int = 0
    image: Image | None = None
    """What the agents run. Each of the others has its own."""

    sidecars: tuple[Sidecar, ...] = ()
    moving: tuple[str, ...] = ()
    """References of theirs that may be another image tomorrow."""

    variables: tuple[str, ...] = ()
    """Secrets that Compose itself puts into its file, where that has ``${NAME}``."""

    directories: tuple[Directory, ...] = ()
    data: tuple[Data, ...] = ()
    files: tuple[str, ...] = ()
    """What is delivered beside the services' own, by its path in the payload."""

    programs: tuple[str, ...] = ()
    """The same, to be executed; an agent starts anew when one changes."""

    stop_seconds: int = 120
    """How long a container may take to stop."""

    health_seconds: int = 180
    """How long a service may take until it is ready."""

    copies: bool = True
    """Whether the data is copied before another image runs on it."""

    @property
    def owner(self) -> str:
        """The agent's user, as ``chown`` writes it."""
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True)
class Checks:
    """Who can tell from the outside whether an agent's software works, whoever runs it."""

    module: str
    """The module of its kind, with a class ``Checks``."""

    arguments: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """What it wants to know."""


@dataclass(frozen=True)
class Plan:
    """All that the program is told."""

    agent: str
    workspaces: tuple[Workspace, ...] = ()
    compose: Compose | None = None
    checks: Checks | None = None
    """Who can tell from the outside whether it works."""

    @property
    def secrets_file(self) -> str:
        """Where the agent's secrets are delivered to."""
        return f"/etc/pve-agents/{self.agent}.env"

    def to_json(self) -> str:
        """Return it as text; whatever has its default is left out."""
        return json.dumps(_plain(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return what a text says.

        Args:
            text: As :meth:`to_json` writes it.

        Raises:
            PlanError: It is not one, or holds what this version does not know.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise PlanError(f"it is not JSON ({error})") from None
        plan: Plan = _read(cls, data, "plan")
        return plan


def _plain(value: Json) -> Json:
    if dataclasses.is_dataclass(value):
        fields = {it.name: (getattr(value, it.name), it) for it in dataclasses.fields(value)}
        return {name: _plain(it) for name, (it, field) in fields.items() if it != _default(field)}
    if isinstance(value, Mapping):
        return {str(key): _plain(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it) for it in value]
    return value


def _default(field: dataclasses.Field[Json]) -> Json:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _read(kind: Json, data: Json, where: str) -> Json:
    if kind is Json:
        return data
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, data, where)
    origin: object = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is types.UnionType:
        return None if data is None else _read(arguments[0], data, where)
    if origin is tuple and isinstance(data, list):
        return tuple(_read(arguments[0], it, f"{where}[{at}]") for at, it in enumerate(data))
    if origin is Mapping and isinstance(data, dict):
        return {key: _read(arguments[1], it, f"{where}.{key}") for key, it in data.items()}
    if isinstance(kind, type) and type(data) is kind:
        return data
    raise PlanError(f"{where} is {json.dumps(data)[:40]}, which does not belong there")


def _read_fields(kind: Json, data: Json, where: str) -> Json:
    if not isinstance(data, dict):
        raise PlanError(f"{where} is {json.dumps(data)[:40]}, which does not belong there")
    hints = typing.get_type_hints(kind)
    if foreign := sorted(data.keys() - hints.keys()):
        raise PlanError(f"{where}.{foreign[0]} is not known here")
    needed = {it.name for it in dataclasses.fields(kind) if _default(it) is dataclasses.MISSING}
    if missing := sorted(needed - data.keys()):
        raise PlanError(f"{where}.{missing[0]} is missing")
    return kind(**{name: _read(hints[name], it, f"{where}.{name}") for name, it in data.items()})
