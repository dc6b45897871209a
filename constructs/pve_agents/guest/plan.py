"""What the program in a container is told: written where the settings are, read where it runs.

Not a word of it is a secret: those arrive in a file of their own, and are known here by their names.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pve_agents.guest.plain import Json, PlanError, from_plain, to_plain
from pve_agents.guest.services import Directory, Document, Secret, Seed, Service, Workspace, secrets_of

__all__ = [
    "Checks",
    "Compose",
    "Data",
    "Directory",
    "Document",
    "Engine",
    "Image",
    "Json",
    "Native",
    "NativeNames",
    "Plan",
    "PlanError",
    "Release",
    "Secret",
    "Seed",
    "Service",
    "SettingNames",
    "Sidecar",
    "Software",
    "Unit",
    "Workspace",
]


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

    def secrets(self) -> Iterator[tuple[Secret, bool]]:
        """Yield each secret that must be there, and whether Compose reads it."""
        yield from secrets_of(self.services)
        for sidecar in self.sidecars:
            yield from ((Secret(name, name), True) for name in sidecar.secrets)
        yield from ((Secret(name, name), True) for name in self.variables)


@dataclass(frozen=True)
class Release:
    """One version of the software, in a directory that is root's; the next one is made beside it."""

    name: str
    """What its directory is called."""

    place: str
    """Where the directories are; ``current`` in there is a link to the one that runs."""

    commands: tuple[tuple[str, ...], ...]
    """What makes it, in order: programs with their arguments, where ``{release}`` is its directory. No secret is one.
    It is whole when the last one has ended well."""

    mebibytes: int
    """About how much room it needs while it is made."""

    @property
    def directory(self) -> str:
        """Where it is."""
        return f"{self.place}/{self.name}"


@dataclass(frozen=True)
class Unit:
    """A unit of systemd; its text is ``units/NAME.service`` in the payload."""

    name: str
    service: str
    """Whose it is: it starts anew when that one's files change."""


@dataclass(frozen=True)
class NativeNames:
    """What the settings are called that a message tells people to change."""

    release: str
    packages: str
    memory: str
    copies: str


@dataclass(frozen=True)
class Native:
    """What systemd runs in the container, without Docker."""

    title: str
    """What it is called in a sentence."""

    release: Release
    settings: NativeNames
    user: str
    """The name of the agent's user, who is made where there is none."""

    home: str
    """That user's home, as the units see it."""

    services: tuple[Service, ...] = ()
    units: tuple[Unit, ...] = ()
    """The first one of a service is the agent itself."""

    packages: tuple[str, ...] = ()
    """Packages of Debian."""

    checks: str = ""
    """The module of the kind that can tell whether its agents work."""

    uid: int = 0
    gid: int = 0
    directories: tuple[Directory, ...] = ()
    files: tuple[str, ...] = ()
    """What is delivered beside the services' own, by its path in the payload."""

    programs: tuple[str, ...] = ()
    """The same, to be executed; an agent starts anew when one changes."""

    stop_seconds: int = 120
    """How long a unit may take to stop."""

    health_seconds: int = 180
    """How long a service may take until it is ready."""

    copies: bool = True
    """Whether the data is copied before another release runs on it."""

    @property
    def owner(self) -> str:
        """The agent's user, as ``chown`` writes it."""
        return f"{self.uid}:{self.gid}"

    def secrets(self) -> Iterator[tuple[Secret, bool]]:
        """Yield each secret that must be there, and whether Compose reads it."""
        yield from secrets_of(self.services)


Software = Compose | Native
"""What runs in a container, whoever runs it."""


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

    native: Native | None = None

    @property
    def software(self) -> Software | None:
        """What runs there, by whichever runtime; none where nobody knows."""
        return self.compose or self.native

    @property
    def secrets_file(self) -> str:
        """Where the agent's secrets are delivered to."""
        return f"/etc/pve-agents/{self.agent}.env"

    def to_json(self) -> str:
        """Return it as text; whatever has its default is left out."""
        return json.dumps(to_plain(self), indent=2, ensure_ascii=False) + "\n"

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
        plan: Plan = from_plain(cls, data, "plan")
        return plan
