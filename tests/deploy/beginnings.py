"""States that many tests begin with: each is reached by its own commands once, and copied from then on.

What is copied is all that there is: what the node's API knows, the host's files and records and those of the containers, and
the project with its states. It is copied only where node, settings and environment are what they were the first time, and
before anything has happened there; otherwise the commands run.
"""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.virtual_node.node import VirtualNode

if TYPE_CHECKING:
    from tests.deploy.project import Project

Result = TypeVar("Result")

# What belongs to a node that runs, and not to what has happened on it.
OWN_TO_A_NODE = frozenset(
    ("_random", "apitokens", "consoles", "host", "machine", "password", "port", "runner", "tickets")
)
OF_CONSOLES = ("faults", "typed", "shown", "frames")
OWN_TO_A_HOST = frozenset(("url", "certificate"))
# Below a node's directory; the rest is made before anything happens.
HAPPENED = ("root", "guests", "host/guest-bin", "host/calls", "host/changes", "host/ssh-calls")


@dataclass(frozen=True)
class Entry:
    """A directory, a link or a file."""

    path: str
    mode: int
    time: int
    content: bytes


@dataclass(frozen=True)
class Kept:
    """A state, and the directory that it was reached in."""

    where: Path
    entries: Sequence[Entry]
    knowledge: Mapping[str, Any]
    host: Mapping[str, Any]
    result: Any


_KEPT: dict[tuple[str, ...], Kept] = {}
# Most states have most of their files in common.
_CONTENTS: dict[bytes, bytes] = {}


def begin(project: Project, what: str, reach: Callable[[], Result]) -> Result:
    """Reach a state, and return what its commands have returned.

    Args:
        project: Whose state.
        what: Names the commands.
        reach: Runs them.
    """
    if not _is_new(project):
        return reach()
    key = _key(project, what)
    if " at 0x" in "".join(key):
        # A test has put in something of its own.
        return reach()
    if key in _KEPT:
        _copy(_KEPT[key], project)
    else:
        _KEPT[key] = _keep(project, reach())
    result: Result = copy.deepcopy(_KEPT[key].result)
    return result


def _is_new(project: Project) -> bool:
    """Whether nothing has happened there yet, and nothing of the test's own would miss that it happens."""
    node, where = project.node, project.directory.parent
    has_happened = bool(node.pve.cts or node.pve.vms or node.pve.tasklog or node.host.lines("calls"))
    programs = project.env["PATH"].replace(str(node.directory), "") + project.binary
    return not (has_happened or project.out.exists() or str(where) in programs) and node.directory.parent == where


def _key(project: Project, what: str) -> tuple[str, ...]:
    """All that the commands can depend on. Addresses and credentials are each node's own."""
    own, node = project.node.env, project.node
    environment = {name: it for name, it in project.env.items() if own.get(name) != it and "PYTEST" not in name}
    facts = (project.settings.read_text(), sorted(environment.items()), type(node.pve), knowledge(node), _host(node))
    return what, *(repr(it).replace(str(project.directory.parent), "") for it in facts)


def knowledge(node: VirtualNode) -> dict[str, Any]:
    """What the API knows, and what its terminals have shown."""
    known = {name: it for name, it in vars(node.pve).items() if name not in OWN_TO_A_NODE}
    return known | {"consoles": {name: getattr(node.pve.consoles, name) for name in OF_CONSOLES}}


def _host(node: VirtualNode) -> dict[str, Any]:
    """What the host remembers besides its files."""
    return {name: it for name, it in node.host.load().items() if name not in OWN_TO_A_HOST}


def _keep(project: Project, result: object) -> Kept:
    node, where = project.node, project.directory.parent
    tops = [project.directory, *(node.directory / name for name in HAPPENED)]
    entries = [entry for top in tops if top.exists() for entry in _entries(top, where)]
    return Kept(where, entries, copy.deepcopy(knowledge(node)), _host(node), copy.deepcopy(result))


def _entries(place: Path, where: Path) -> Iterator[Entry]:
    found = place.lstat()
    if stat.S_ISDIR(found.st_mode):
        content = b""
    else:
        content = os.fsencode(place.readlink()) if stat.S_ISLNK(found.st_mode) else place.read_bytes()
    content = _CONTENTS.setdefault(content, content)
    yield Entry(str(place.relative_to(where)), found.st_mode, found.st_mtime_ns, content)
    if stat.S_ISDIR(found.st_mode):
        for below in sorted(place.iterdir()):
            yield from _entries(below, where)


def _copy(kept: Kept, project: Project) -> None:
    node, where = project.node, project.directory.parent
    for entry in kept.entries:
        place = where / entry.path
        content = entry.content.replace(os.fsencode(kept.where), os.fsencode(where))
        if stat.S_ISLNK(entry.mode):
            place.symlink_to(os.fsdecode(content))
            continue
        if stat.S_ISDIR(entry.mode):
            place.mkdir(exist_ok=True, parents=True)
        else:
            place.write_bytes(content)
        place.chmod(stat.S_IMODE(entry.mode))
    # A directory's time is that of what was last put into it.
    for entry in kept.entries:
        os.utime(where / entry.path, ns=(entry.time, entry.time), follow_symlinks=False)
    known = copy.deepcopy(dict(kept.knowledge))
    vars(node.pve.consoles).update(known.pop("consoles"))
    node.pve.__dict__.update(known)
    with node.host.changing() as state:
        state.update(kept.host)
