"""Places of the LXC container that Hermes and its sidecars are shown."""

from collections.abc import Iterator, Mapping, Sequence

from pve_agents.agents.hermes.docker import RESERVED_TARGETS, Audio, overlap
from pve_agents.agents.hermes.profile import Profile
from pve_agents.agents.hermes.sidecar import Sidecar
from pve_agents.agents.kind import Container
from pve_agents.guest_places import is_withheld, link_problems
from pve_agents.problems import Key, Problem
from pve_agents.types import shown

__all__ = ["link_misfits", "mount_problems"]


def _split(volume: str) -> tuple[str, bool]:
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


def link_misfits(
    profiles: Sequence[tuple[Key, Profile]], sidecars: Mapping[str, Sidecar], audio: Audio | None, container: Container
) -> Iterator[Problem]:
    """Find places that are shown to a service, and may be led elsewhere by a link.

    Args:
        profiles: Each Hermes, with the keys on the way to it.
        sidecars: The services beside it.
        audio: The bridge to the sound of a desktop.
        container: The container.
    """
    lists = [((*key, "volumes"), it.volumes) for key, it in profiles]
    lists += [(("sidecars", name, "volumes"), it.volumes) for name, it in sidecars.items()]
    volumes = [((*key, i), volume) for key, its in lists for i, volume in enumerate(its)]
    sources = [(key, _split(volume)[0]) for key, volume in volumes]
    if audio:
        sources += [(("audio", key), getattr(audio, key)) for key in ("pulse_socket", "pulse_cookie")]
    shown_ones = sorted(_split(volume) for _, volume in volumes)
    others = dict(shown_ones) | {it.data_directory: True for _, it in profiles}
    yield from link_problems(sources, container.mounts, others)
