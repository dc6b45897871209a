"""The directories of the node: what is made, what is mended, and what root does not touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from pve_agents.host.commands import Command, Plan, refused
from pve_agents.host.facts import Facts, PathFact
from pve_agents.host.properties import source_of
from pve_agents.host.wanted import Directory, Wanted

__all__ = ["STEP", "above", "link_on_the_way", "plan_directories"]

STEP = "host-directories"

_STICKY, _GROUP_WRITES, _OTHERS_WRITE = 0o1000, 0o020, 0o002


def plan_directories(wanted: Wanted, facts: Facts) -> Plan:
    """Make the directories, and give them owner and mode."""
    plan = Plan()
    planned: set[str] = set()
    for directory in wanted.directories:
        problems = tuple(_problems(directory, facts, planned))
        planned.add(directory.path)
        plan += refused(*problems) if problems else _one(directory, facts)
    return plan


def above(path: str) -> list[str]:
    """The directories above a path, the nearest first."""
    return [str(it) for it in PurePosixPath(path).parents]


def link_on_the_way(path: str, facts: Facts) -> str:
    """The first part of a path that is a symbolic link: Proxmox VE mounts nothing through one."""
    return next((it for it in (*reversed(above(path)), path) if facts.path(it).kind == "symbolic link"), "")


def _problems(directory: Directory, facts: Facts, planned: set[str]) -> Iterator[str]:
    path, parent = directory.path, above(directory.path)[0]
    found = facts.path(path)
    if link := link_on_the_way(path, facts):
        yield (
            f"{path}: {link} is a symbolic link, and Proxmox VE mounts no path with one; write the path that it leads to"
        )
    elif not facts.path(parent).kind and parent not in planned:
        yield f"{path}: {parent} does not exist. Is its disk mounted? Only the last part of a path is created here"
    elif found.kind not in {"", "directory"}:
        yield f"{path} is no directory; write another one, or move it away"
    # Whoever may rename things above could turn what root does here on to any file of the node.
    for place in above(path):
        yield from _who_else_writes(path, place, facts)


def _who_else_writes(path: str, place: str, facts: Facts) -> Iterator[str]:
    found = facts.path(place)
    if not found.kind:
        return
    safe = f"{found.mode & ~(_GROUP_WRITES | _OTHERS_WRITE):04o}"
    if found.uid >= 100_000:  # noqa: PLR2004 - the ids of unprivileged containers
        yield (
            f"{path} lies in {place}, which a container may write (owner {found.uid}): create it inside the container"
        )
    elif found.uid != 0:
        yield (
            f"{path} lies in {place}, which belongs to user {found.uid}, who could turn it elsewhere: "
            f"run `chown root {place}` on {facts.node}, or write another directory"
        )
    elif writers := _writers(found):
        yield (
            f"{path} lies in {place}, where {writers} may rename things: run `chmod {safe} {place}` "
            f"on {facts.node}, or write another directory"
        )
    for container in facts.containers.values():
        # Its root is the node's own.
        if container.running.get("unprivileged") != "1" and any(
            key.startswith("mp") and source_of(value).rstrip("/") == place for key, value in container.running.items()
        ):
            yield (
                f"{path} lies in {place}, which the privileged container {container.vmid} has as a mount and may "
                "rename things in: write another directory"
            )


def _writers(found: PathFact) -> str:
    if found.mode & _STICKY:
        return ""
    if found.mode & _OTHERS_WRITE:
        return "everybody"
    return f"group {found.gid}" if found.mode & _GROUP_WRITES and found.gid else ""


def _one(directory: Directory, facts: Facts) -> Plan:
    path, owner = directory.path, f"{directory.uid}:{directory.gid}"
    found = facts.path(path)
    commands, notes = [], []
    undo: tuple[str, ...] = ()
    mode = f"{directory.mode:04o}"
    hint = f"Is it NFS with root_squash, where root is nobody? Make it on the file server, with owner {owner} and mode {mode}"
    # The disk may be unplugged, or it is meant so.
    if (found if found.kind else facts.path(above(path)[0])).mounted_at == "/":
        notes.append(f"{path} {'is' if found.kind else 'will be'} on the root file system: is the disk mounted?")
    if not found.kind:
        commands.append(Command(STEP, ("mkdir", "-m", mode, "--", path), f"{path} is not there", hint=hint))
        # An empty directory of nobody's would hide the fault from the next run.
        undo = ("rmdir", "--", path)
        found = PathFact("directory", 0, 0, directory.mode)
    if (found.uid, found.gid) != (directory.uid, directory.gid):
        reason = f"{path} is to belong to {owner}, not to {found.uid}:{found.gid}"
        commands.append(Command(STEP, ("chown", owner, "."), reason, within=path, hint=hint, undo=undo))
    if found.mode != directory.mode:
        reason = f"{path} is to have the mode {mode}, not {found.mode:04o}"
        commands.append(Command(STEP, ("chmod", mode, "."), reason, within=path))
    return Plan(commands=tuple(commands), notes=tuple(notes))
