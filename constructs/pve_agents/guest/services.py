"""What an agent is made of, whoever runs it: its secrets, its files, its directories. Names of secrets, and no value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pve_agents.guest.plain import Json

__all__ = ["Directory", "Document", "Secret", "Seed", "Service", "Workspace", "secrets_of"]


@dataclass(frozen=True)
class Workspace:
    """A directory of the container that a user must be able to use."""

    path: str
    uid: int
    gid: int
    read_only: bool = False
    mode: str = ""
    """Permissions that the container's own root gives it, with its owner; empty where root on the node does."""

    @property
    def owner(self) -> str:
        """The user, as ``chown`` writes it."""
        return f"{self.uid}:{self.gid}"


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
    """One agent: a service of the compose file, or a unit of systemd."""

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

    empty: tuple[str, ...] = ()
    """Files that must be there; where there is none, an empty one is made as the agent."""

    checks: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """What the kind's checks want to know."""


@dataclass(frozen=True)
class Directory:
    """A directory that is made where there is none; what is there is left as it is."""

    path: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o750


def secrets_of(services: Iterable[Service]) -> Iterator[tuple[Secret, bool]]:
    """Yield each secret that services must have, and whether Compose reads it."""
    for service in services:
        yield from ((it, False) for it in service.secrets)
        yield from ((Secret(it.source, it.source), False) for it in service.seeds)
