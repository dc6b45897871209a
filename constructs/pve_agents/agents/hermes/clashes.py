"""What the services of one agent cannot have at the same time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pve_agents.agents.hermes.docker import overlap
from pve_agents.agents.hermes.profile import Profile
from pve_agents.agents.hermes.sidecar import Sidecar
from pve_agents.problems import Key, Problem, dotted
from pve_agents.types import shown

__all__ = ["clashes", "network_problems"]


def clashes(profiles: Sequence[tuple[Key, Profile]]) -> Iterator[Problem]:
    """Find what two profiles of an agent cannot both have.

    Args:
        profiles: They, each with the keys on the way to it.
    """
    ports: dict[int, tuple[Key, Key]] = {}
    directories: dict[str, Key] = {}
    for place, profile in profiles:
        for key, port in profile.ports.items():
            owner, first = ports.setdefault(port, (place, key))
            # What two of one profile have in common is said with it.
            if owner != place:
                taken = dotted((*owner, *first))
                yield Problem((*place, *key), f"{taken} is {port} too; give each its own", port)
        directory, where = profile.data_directory, (*place, "data_directory")
        for other, first in directories.items():
            if overlap(directory, [other]):
                yield Problem(
                    where,
                    f"{shown(directory)} is not apart from {dotted(first)}, {shown(other)}, and two gateways destroy "
                    "each other's data; write directories that lie side by side",
                    directory,
                )
        directories[directory] = where
    yield from _shared_tokens(profiles)
    for place, profile in profiles:
        foreign = [directory for directory, owner in directories.items() if owner[:-1] != place]
        for i, volume in enumerate(profile.volumes):
            if overlap(volume.partition(":")[0], foreign):
                yield Problem(
                    (*place, "volumes", i),
                    f"{shown(volume)} shows the data of another profile; leave it out",
                    volume,
                )


def _shared_tokens(profiles: Sequence[tuple[Key, Profile]]) -> Iterator[Problem]:
    first: dict[str, Key] = {}
    for place, profile in profiles:
        prefix = f"{place[1]}_".upper() if place else ""
        for name in profile.logins:
            source = profile.secrets.get(name, prefix + name)
            if first.setdefault(source, place) != place:
                yield Problem(
                    (*place, "secrets", name),
                    f"another profile has the token {source} too, and each would take messages from the other; "
                    "give each its own",
                )


def network_problems(
    mode: str, networks: Iterable[str], sidecars: Mapping[str, Sidecar], profiles: Sequence[tuple[Key, Profile]]
) -> Iterator[Problem]:
    """Find what the network of the services does not go with.

    Args:
        mode: ``host``, or ``bridge`` for networks of Docker's.
        networks: Names of those networks.
        sidecars: The services beside Hermes.
        profiles: Each Hermes, with the keys on the way to it.
    """
    if mode == "bridge":
        for place, profile in profiles:
            # Docker lets the port through only where the dashboard listens on the container's outside.
            if profile.dashboard.enabled and profile.dashboard.auth is None:
                yield Problem(
                    (*place, "dashboard", "auth"),
                    "with network_mode: bridge Hermes starts no dashboard that nobody is asked a password for; "
                    "write auth: basic and username",
                )
        for name, sidecar in sidecars.items():
            if unknown := [it for it in sidecar.networks if it not in {*networks, "default"}]:
                yield Problem(
                    ("sidecars", name, "networks"),
                    f"{', '.join(unknown)} is not under networks; write it there too",
                )
        return
    reason = (
        "with network_mode: host all services are in the container's own network, where Docker has none to offer; "
        "leave it out, or write network_mode: bridge"
    )
    if networks:
        yield Problem(("networks",), reason)
    for name, sidecar in sidecars.items():
        for key in ("networks", "ports"):
            if getattr(sidecar, key):
                yield Problem(("sidecars", name, key), reason)
