"""Whether what is declared has what it needs in the container, where only a person can tell."""

from collections.abc import Iterator, Sequence

from pve_agents.agents.hermes.docker import Audio, in_bytes
from pve_agents.agents.kind import Container
from pve_agents.problems import Key
from pve_agents.types import lies_in

__all__ = ["container_warnings", "place_warnings", "room_warnings"]

_LEAST_MIB = 1024
_LEAST_GIB, _LEAST_GIB_WITHOUT = 16, 8
_USER = 10000


def container_warnings(container: Container, *, has_image: bool) -> Iterator[tuple[Key, str]]:
    """Find what the container may lack for Hermes.

    Args:
        container: The container.
        has_image: Whether it is the image that runs, in Docker.

    Yields:
        The place of each below the agent, and a sentence without its full stop.
    """
    if container.memory_mib < _LEAST_MIB:
        yield ("memory", "dedicated_mib"), f"Hermes needs {_LEAST_MIB} MiB at least; write more"
    if has_image and container.disk_gib < _LEAST_GIB:
        yield ("disk", "size_gib"), f"the image of Hermes alone takes more than 5 GiB; write {_LEAST_GIB} or more"
    if not has_image and container.disk_gib < _LEAST_GIB_WITHOUT:
        sentence = f"two releases of Hermes and what they need take about 4 GiB; write {_LEAST_GIB_WITHOUT} or more"
        yield ("disk", "size_gib"), sentence
    if has_image and not container.keyctl:
        yield ("keyctl",), "Docker in an unprivileged container wants it; write true"


def room_warnings(limits: Sequence[str | None], audio: Audio | None, container: Container) -> Iterator[tuple[Key, str]]:
    """Find what fits into the container, and yet may not be what is wanted there.

    Args:
        limits: The memory that each profile may use.
        audio: The bridge to the sound of a desktop.
        container: The container.

    Yields:
        The place of each, and a sentence without its full stop.
    """
    together = sum(in_bytes(limit) for limit in limits if limit) // 2**20
    if len(limits) > 1 and together > container.memory_mib:
        sentence = (
            f"the profiles may take {together} MiB together, and the container has {container.memory_mib}, so that one "
            f"may end for want of what another uses; write lower limits, or memory.dedicated_mib: {together}"
        )
        yield ("limits", "memory"), sentence
    for path, is_open_to in container.devices.items():
        if not is_open_to(_USER):
            yield (
                (),
                f"Hermes runs as user {_USER}, who cannot read and write {path}; write uid: {_USER} for it in devices",
            )
    paths = {"pulse_socket": audio.pulse_socket, "pulse_cookie": audio.pulse_cookie} if audio else {}
    for key, path in paths.items():
        if not any(lies_in(path, mount) for mount in container.mounts):
            yield (
                ("audio", key),
                f"no mount of the agent brings {path}; write one that does",
            )


def place_warnings(data_directory: str, container: Container) -> Iterator[tuple[Key, str]]:
    """Find a data directory that the agent could put a link in the place of.

    Args:
        data_directory: Where its data is in the container.
        container: The container.

    Yields:
        The place of each, and a sentence without its full stop.
    """
    for path, can_write in container.mounts.items():
        if can_write and path != data_directory and lies_in(data_directory, path):
            sentence = (
                f"the agent may put a link in the place of a directory in {path}, which Docker follows as root; "
                f"give it a mount of its own, with guest_path: {data_directory}"
            )
            yield ("data_directory",), sentence
