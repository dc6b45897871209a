"""What a container wants of volumes: plain values, as Terraform hands them to the program that attaches them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = [
    "AttachedVolume",
    "NewVolume",
    "PetVolume",
    "Requirement",
    "Wanted",
    "attaches_volumes",
    "pet_place",
    "read_wanted",
    "resource_name",
]

_RESOURCE = "_volumes"


@dataclass(frozen=True)
class Requirement:
    """Privileges that a token needs on a path, and the role that gives it them."""

    path: str
    privileges: tuple[str, ...]
    role: str


@dataclass(frozen=True)
class NewVolume:
    """A volume that the container owns, made when it is missing."""

    datastore: str
    size_gib: int
    """Its size in GiB; 0 for a directory on a datastore of the type dir."""


@dataclass(frozen=True)
class PetVolume:
    """A volume that another container owns, found there by its name."""

    vmid: int
    """The container that owns it."""

    name: str


@dataclass(frozen=True)
class AttachedVolume:
    """A volume at a place of the container."""

    place: str
    """Where in the container."""

    source: NewVolume | PetVolume

    key: str = ""
    """Under which key of the configuration. Defaults to the first one that is free."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""


@dataclass(frozen=True)
class Wanted:
    """A container, and the volumes that it is to have."""

    agent: str
    """The agent's name, or the stack's where the container is no agent's."""

    node: str
    vmid: int
    hostname: str
    tag: str
    """What marks the container as this stack's own."""

    stop_seconds: int = 180
    """How long the container may take to stop."""

    volumes: tuple[AttachedVolume, ...] = ()

    pet: int = 0
    """The container whose volumes are given back when nothing wants them any more. Defaults to none."""

    protected: bool = False
    """Whether Proxmox VE itself is to refuse to destroy the container and to change its volumes."""

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), sort_keys=True)


def resource_name(container: str) -> str:
    """Return what the resource is called that attaches the volumes of a container, by the name of that one's."""
    return f"{container}{_RESOURCE}"


def attaches_volumes(address: str) -> bool:
    """Tell whether a resource of this address attaches a container's volumes."""
    return address.endswith(_RESOURCE)


def pet_place(name: str) -> str:
    """Return where a volume is in the container that owns it, by which it is found."""
    return f"/volumes/{name}"


def read_wanted(text: str) -> Wanted:
    """Read what :meth:`Wanted.to_json` has written.

    Raises:
        ValueError: It is something else.
    """
    try:
        values = json.loads(text)
        volumes = tuple(_volume(it) for it in values.pop("volumes"))
        return Wanted(**values, volumes=volumes)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("what is wanted of volumes cannot be read; synthesize the stack again") from None


def _volume(values: Mapping[str, object]) -> AttachedVolume:
    source = values["source"]
    if not isinstance(source, dict):
        raise TypeError
    made = NewVolume(**source) if "datastore" in source else PetVolume(**source)
    return AttachedVolume(**{**values, "source": made})  # type: ignore[arg-type]
