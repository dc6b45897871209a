"""What a compose file shows its services of the LXC container, and what of the folder it lies in."""

from collections.abc import Iterator, Mapping
from typing import Any

from pve_agents.agents.compose.tree import Around
from pve_agents.agents.compose.volumes import Volume, below, volume
from pve_agents.guest_places import is_withheld, link_problems, place
from pve_agents.problems import Key, Problem
from pve_agents.types import holds_token, lies_in, shown

__all__ = [
    "Found",
    "env_files",
    "in_container",
    "is_declared",
    "paths_beside",
    "place_problems",
    "told_problem",
    "travelling_problem",
    "volumes",
]

Found = Mapping[str, Mapping[str, Any] | str | None]
"""What lies beside a compose file, by plain path: what can travel, the sentence why it cannot, or nothing."""

_UNDER = "directories of the agent's compose"


def volumes(service: Mapping[str, Any]) -> Iterator[tuple[int, Volume | str]]:
    """Yield each volume of a service, or what is wrong with it."""
    for i, stated in enumerate(service.get("volumes") or ()):
        try:
            yield i, volume(stated)
        except ValueError as error:
            yield i, str(error)


def env_files(service: Mapping[str, Any]) -> Iterator[tuple[Key, str, bool]]:
    """Yield each file of variables of a service: where it stands, its path, and whether it must be there."""
    stated = service.get("env_file") or ()
    for i, it in enumerate([stated] if isinstance(stated, str) else stated):
        key = ("env_file",) if isinstance(stated, str) else ("env_file", i)
        if isinstance(it, Mapping):
            yield (*key, "path"), str(it.get("path", "")), it.get("required", True) is not False
        else:
            yield key, str(it), True


def is_declared(path: str, around: Around) -> str | None:
    """Return the declared directory that a path is or lies in."""
    return next((it for it in around.directories if lies_in(path, it)), None)


def in_container(source: str, around: Around) -> str:
    """Return where the source of a bind is in the LXC container, which is known to be allowed."""
    path = source if source.startswith("/") else below(source) or source
    if declared := is_declared(path, around):
        return around.directories[declared] + path.removeprefix(declared)
    return path if path.startswith("/") else f"/var/lib/pve-agents/{around.agent}/beside/{path}"


def paths_beside(tree: Mapping[str, Any], around: Around) -> Iterator[str]:
    """Yield the plain paths of all that travels, as far as the file says so in a way that can be understood."""
    for service in tree.get("services", {}).values():
        if not isinstance(service, Mapping):
            continue
        binds = (it.source for _, it in volumes(service) if isinstance(it, Volume) and it.type == "bind")
        sources = [*binds, *(path for _, path, _ in env_files(service))]
        yield from (path for it in sources if (path := below(it)) and not is_declared(path, around))
    for config in tree.get("configs", {}).values():
        if isinstance(config, Mapping) and isinstance(file := config.get("file"), str) and (path := below(file)):
            yield path


def travelling_problem(path: str, found: Found) -> str | None:
    """Say why a file does not travel, if it does not."""
    if (plain := below(path)) is None:
        return f"{shown(path)} does not lie beside the compose file; copy it into that folder, and write its path from there"
    there = found.get(plain)
    if there is None:
        return f"{shown(path)} does not lie beside the compose file; put it there, or leave it out"
    return there if isinstance(there, str) else None


def told_problem(there: Mapping[str, Any]) -> str | None:
    """Say which of the files that travel seems to hold a secret, if one does."""
    for name, file in there.items():
        if holds_token(file.text):
            what = shown(name) if name else "it"
            return (
                f"there seems to be a secret in {what}, which would lie in cdktf.out; take it out, and write it where "
                "${NAME} stands for it, such as under environment of the service"
            )
    return None


# Judging --------------------------------------------------------------------------------------------------------------


def place_problems(services: Mapping[str, Mapping[str, Any]], around: Around, found: Found) -> Iterator[Problem]:
    """Find what no service may be shown.

    Args:
        services: The services, with their variables filled in.
        around: What is declared.
        found: What lies beside the file.
    """
    sources: list[tuple[Key, str]] = []
    writable: dict[str, bool] = {}
    for name, service in services.items():
        for i, it in volumes(service):
            key: Key = ("services", name, "volumes", i)
            if isinstance(it, str):
                yield Problem(key, it)
            elif it.type == "bind":
                if sentence := _bind_problem(it, around, found):
                    yield Problem(key, sentence)
                else:
                    path = in_container(it.source, around)
                    sources.append((key, path))
                    writable[path] = writable.get(path, False) or not it.read_only
    yield from link_problems(sources, {}, writable)
    used = {it for _, source in sources for it, path in around.directories.items() if lies_in(source, path)}
    for it in around.directories:
        if it not in used:
            sentence = f"no service is shown {shown(it)}, which is declared under {_UNDER}; leave it out there"
            yield Problem(("services",), sentence)


def _bind_problem(bind: Volume, around: Around, found: Found) -> str | None:
    source, path = bind.source, below(bind.source)
    if source.startswith("/"):
        return _absolute_problem(source, around, read_only=bind.read_only)
    if source.startswith("~"):
        return f"{shown(source)} is nobody's home here; write a directory, and declare it under {_UNDER}"
    if path is None:
        return f"{shown(source)} leads out of the compose file's folder; copy what it is into the folder"
    if path == ".":
        return f"{shown(source)} is the whole folder, with all that lies there; write the files that the service reads"
    return None if is_declared(path, around) else _beside_problem(source, path, found, read_only=bind.read_only)


def _beside_problem(source: str, path: str, found: Found, *, read_only: bool) -> str | None:
    there = found.get(path)
    if there is None:
        return (
            f"{shown(source)} neither lies beside the compose file nor is declared; put the file there, or write the "
            f"directory that the service keeps its data in under {_UNDER}, such as {{path: ./{path}}}"
        )
    if isinstance(there, str) or (there := told_problem(there)):
        return there
    if read_only:
        return None
    return (
        f"{shown(source)} lies beside the compose file, travels with the deploy, and is read only in the container; "
        f"write :ro behind it, or declare it under {_UNDER} where the service writes into it"
    )


def _absolute_problem(source: str, around: Around, *, read_only: bool) -> str | None:
    if "/../" in f"{source}/" or "/./" in f"{source}/" or "//" in source:
        return f"{shown(source)} is no plain path; write it without . and .. in it"
    source = source.rstrip("/") or "/"
    mount = next((it for it in around.mounts if lies_in(source, it)), None)
    if mount and not around.mounts[mount] and not read_only:
        return f"{shown(source)} lies in the mount {mount}, which is read only; write :ro behind it"
    if mount or is_declared(source, around):
        return None
    if read_only and not is_withheld(source, read_only=True) and is_withheld(source):
        # What many services want to see, and nobody can do anything with, such as the time zone.
        return None
    try:
        place(source, read_only=read_only, such_as=f"/srv/{around.agent}")
    except ValueError as error:
        return str(error)
    return f"{shown(source)} is neither a mount of the agent nor declared; write it under {_UNDER}, or under mounts of the agent"
