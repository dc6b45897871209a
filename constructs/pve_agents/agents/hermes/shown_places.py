"""Places of the LXC container that Hermes and its sidecars are shown."""

from collections.abc import Iterator, Sequence

from pve_agents.agents.hermes.docker import RESERVED_TARGETS, overlap
from pve_agents.guest_places import is_withheld
from pve_agents.problems import Problem
from pve_agents.types import shown

__all__ = ["mount_problems", "split"]


def split(volume: str) -> tuple[str, bool]:
    """Return the directory that a volume shows, and whether it can be written."""
    source, _, *mode = volume.split(":")
    return source, mode != ["ro"]


def mount_problems(mounts: Sequence[str]) -> Iterator[Problem]:
    """Find mounts that Hermes, who sees all of them, must not have.

    Args:
        mounts: Their paths in the LXC container.
    """
    for path in mounts:
        if overlap(path, RESERVED_TARGETS):
            yield Problem(
                (), f"the mount {shown(path)} would hide what Hermes has there; give the mount another guest_path"
            )
        elif is_withheld(path):
            yield Problem(
                (),
                f"the mount {shown(path)} would show the agent a place of the container's system; "
                "give the mount another guest_path, such as /data",
            )
