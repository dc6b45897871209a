"""What goes with a container: the volumes that it owns, whether the settings know them or not."""

from __future__ import annotations

from pve_agents.host.properties import place_of, source_of
from pve_agents.volumes.plan import Seen
from pve_agents.volumes.values import MOUNT, UNUSED, owner_of
from pve_agents.volumes.wanted import Wanted

__all__ = ["owned_volumes", "unknown_volumes"]


def owned_volumes(wanted: Wanted, seen: Seen) -> dict[str, tuple[str, str]]:
    """Return the keys and values of all volumes that the container owns and that go with it, mounted or not, by the volume."""
    found: dict[str, tuple[str, str]] = {}
    # What was taken off a running container is in the one until its next start, and in neither list of what is unused.
    for config in (seen.running, seen.config or {}):
        for key, value in sorted(config.items()):
            if owner_of(value) != wanted.vmid:
                continue
            if MOUNT.fullmatch(key):
                found[source_of(value)] = key, value
            elif UNUSED.fullmatch(key):
                found.setdefault(source_of(value), (key, value))
    return found


def unknown_volumes(wanted: Wanted, seen: Seen) -> tuple[str, ...]:
    """Return those that the settings do not know, each with its key."""
    places = {it.place for it in wanted.volumes}
    return tuple(
        f"{key} ({volume})"
        for volume, (key, value) in owned_volumes(wanted, seen).items()
        if UNUSED.fullmatch(key) or place_of(value) not in places
    )
