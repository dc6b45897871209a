"""What an agent wants of its node and of its container: plain values and the names of secrets, never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Attached", "Bootstrap", "Directory", "Leaving", "Payload", "Secrets", "Volume", "Wanted"]


@dataclass(frozen=True)
class Directory:
    """A directory of the node."""

    path: str
    uid: int
    gid: int
    """Owner and group, as the node sees them."""
    mode: int


@dataclass(frozen=True)
class Attached:
    """What a container gets under a key: a directory at a mount point, or a device."""

    key: str
    source: str
    """Path on the node."""
    place: str
    """Path in the container; empty for a device."""
    options: Mapping[str, str]

    @property
    def value(self) -> str:
        """The property string for the key."""
        options = ",".join(f"{name}={self.options[name]}" for name in sorted(self.options))
        return ",".join(part for part in (self.source, self.place and f"mp={self.place}", options) if part)


@dataclass(frozen=True)
class Volume:
    """A volume that the container has by its token stack, and without which nothing is put into it."""

    key: str
    place: str
    """Path in the container."""


@dataclass(frozen=True)
class Payload:
    """The files that go into the container, packed."""

    directory: str
    """Where they go."""
    archive: str
    """Path of the packed files here."""
    sha256: str
    checks_timeout_seconds: int


@dataclass(frozen=True)
class Secrets:
    """The names of the agent's secrets, and the file in the container that holds them."""

    names: tuple[str, ...]
    minimum_lengths: Mapping[str, int]
    path: str
    uid: int
    gid: int
    of_compose: tuple[str, ...] = ()
    """The names of those that Compose reads from a file."""


@dataclass(frozen=True)
class Bootstrap:
    """What makes the container what the payload says."""

    command: str
    timeout_seconds: int
    stop_seconds: int
    """How long it may take to stop the agent."""


@dataclass(frozen=True)
class Wanted:
    """All of it."""

    agent: str
    vmid: int
    node: str
    hostname: str
    tag: str
    """What marks the container as this agent's own, whatever its name."""
    stop_seconds: int
    """How long the container may take to stop."""
    directories: tuple[Directory, ...] = ()
    mounts: tuple[Attached, ...] = ()
    devices: tuple[Attached, ...] = ()
    volumes: tuple[Volume, ...] = ()
    features: Mapping[str, str] = field(default_factory=dict)
    payload: Payload | None = None
    secrets: Secrets | None = None
    bootstrap: Bootstrap | None = None
    delivery: str = "root"
    """By whom payload, secrets and bootstrap are delivered: ``root`` on the node, or through the container's ``console``."""

    @property
    def by_console(self) -> bool:
        """Whether nobody is root on the node."""
        return self.delivery == "console"

    @property
    def attached(self) -> tuple[Attached, ...]:
        """Mounts and devices."""
        return self.mounts + self.devices

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the agent's secrets."""
        return self.secrets.names if self.secrets else ()

    @property
    def workspaces(self) -> tuple[tuple[Attached, Directory], ...]:
        """What the agent can write: the mounts that are not read-only, with the directory behind each."""
        directories = {directory.path: directory for directory in self.directories}
        return tuple(
            (mount, directories[mount.source])
            for mount in self.mounts
            if mount.options.get("ro") != "1" and mount.source in directories
        )


@dataclass(frozen=True)
class Leaving:
    """What a step that goes had attached: keys and what they held. Nothing else of a state is believed."""

    vmid: int
    held: Mapping[str, str]
    """Paths on the node by their keys."""
