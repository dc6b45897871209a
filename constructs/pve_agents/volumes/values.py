"""What a container's configuration says of volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pve_agents.host.properties import place_of, source_of
from pve_agents.volumes.wanted import pet_place

__all__ = ["MOUNT", "UNUSED", "is_volume", "owner_of", "text_of", "volume_of_pet"]

MOUNT, UNUSED = re.compile(r"mp(\d+)"), re.compile(r"unused\d+")
_OWNER = re.compile(r":(?:\d+/)?(?:vm|subvol|base|basevol)-(\d+)-")


def volume_of_pet(config: Mapping[str, str], name: str) -> str:
    """Return the volume of this name in the configuration of the container that owns it; empty where there is none."""
    mounts = (value for key, value in config.items() if MOUNT.fullmatch(key))
    return next((source_of(value) for value in mounts if place_of(value) == pet_place(name)), "")


def is_volume(value: str) -> bool:
    """Whether a mount is a volume of a datastore, and no directory or device of the node."""
    return not source_of(value).startswith("/")


def owner_of(value: str) -> int:
    """Return the container that owns the volume of a mount; 0 where nobody does."""
    found = _OWNER.search(source_of(value))
    return int(found[1]) if found else 0


def text_of(value: str, name: str) -> str:
    """Return what a property of a mount is set to; empty where it is not."""
    words = (part.partition("=") for part in value.split(","))
    return next((text for key, _, text in words if key == name), "")
