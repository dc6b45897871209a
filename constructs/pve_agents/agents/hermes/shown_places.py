"""Places of the LXC container that Hermes and its sidecars are shown, as far as one of them could change what they are."""

from collections.abc import Iterator, Mapping, Sequence

from pve_agents.agents.hermes.docker import RESERVED_TARGETS, overlap
from pve_agents.guest_places import is_withheld
from pve_agents.problems import Key, Problem
from pve_agents.types import lies_in, shown

__all__ = ["link_problems", "mount_problems", "split"]


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


def link_problems(
    sources: Sequence[tuple[Key, str]], mounts: Mapping[str, bool], others: Mapping[str, bool]
) -> Iterator[Problem]:
    """Find what lies where an agent can put a link in its place, which Docker follows as root to any place.

    Args:
        sources: What is shown, each with the key that says so.
        mounts: The mounts of the LXC container, each with whether it can be written.
        others: What else is shown to Hermes or a sidecar, each with whether it can be written.
    """
    for key, source in sources:
        around = [it for it in {**others, **mounts} if lies_in(source, it) and (it != source or it in mounts)]
        nearest = max(around, key=len, default=source)
        if nearest != source and {**others, **mounts}[nearest]:
            sentence = (
                f"{shown(source)} lies in {shown(nearest)}, where an agent may put a link in its place, which Docker follows "
                f"to anywhere in the LXC container; write {nearest} itself, or a directory outside of it, such as "
                "/srv/books"
            )
            yield Problem(key, sentence, source)
