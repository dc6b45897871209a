"""What is there: what one look at the node saw of it, of its guests and of our container."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pve_agents.host.properties import same
from pve_agents.host.wanted import Wanted

__all__ = [
    "CLEAN",
    "LONGEST_LOOK",
    "Container",
    "Facts",
    "GuestFacts",
    "LookError",
    "PathFact",
    "look_at",
    "look_inside",
    "read_facts",
    "read_guest",
]

CLEAN = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
"""What starts a command in the container without anything of an environment."""
LONGEST_LOOK = 8 * 1024 * 1024
"""Bytes; nobody's node has more to say."""

_LOOK = Path(__file__).with_name("look.sh")
# What root sets here, and nobody else may.
_OURS = re.compile(r"mp\d+|dev\d+|features")


class LookError(Exception):
    """The look did not come to its end, or its answer is none."""


@dataclass(frozen=True)
class PathFact:
    """A path of the node, links not followed."""

    kind: str
    """As stat(1) names it: directory, symbolic link, character special file, …; empty if nothing is there."""
    uid: int = 0
    gid: int = 0
    mode: int = 0
    mounted_at: str = "/"
    """Root of its file system."""


@dataclass(frozen=True)
class GuestFacts:
    """What our container says of itself. It may lie, but about nothing else than itself."""

    is_whole: bool = False
    """It answered, in time and to the end."""
    payload: str = ""
    """SHA-256 of the payload in it; empty if there is none, or half of one."""
    done: str = ""
    """What its bootstrap was last run for, to its end."""
    executables: frozenset[str] = frozenset()
    secrets: tuple[str, str, str] | None = None
    """Owner and group, mode, SHA-256 of the file with its secrets."""


@dataclass(frozen=True)
class Container:
    """A container of the node."""

    vmid: int
    running: Mapping[str, str]
    """What it has now, by the keys of its configuration."""
    pending: Mapping[str, str | None] = field(default_factory=dict)
    """What waits for its next start; none: the key goes."""

    @property
    def configured(self) -> Mapping[str, str]:
        """What its next start will use."""
        values: dict[str, str | None] = {**self.running, **self.pending}
        return {key: value for key, value in values.items() if value is not None}

    def waiting(self) -> tuple[str, ...]:
        """The keys of mounts, devices and features that wait for its next start."""
        found = (key for key, value in self.pending.items() if not same(value or "", self.running.get(key, "")))
        return tuple(sorted(key for key in found if _OURS.fullmatch(key)))

    def others_waiting(self) -> tuple[str, ...]:
        """The other keys that do."""
        found = (key for key, value in self.pending.items() if value != self.running.get(key))
        return tuple(sorted(key for key in found if not _OURS.fullmatch(key)))


@dataclass(frozen=True)
class Facts:
    """All that was seen."""

    node: str
    pve_container: str = ""
    """Version of the package; empty if that is unknown."""
    lxc_pve: str = ""
    """The same of LXC's own."""
    containers: Mapping[int, Container] = field(default_factory=dict)
    """The containers of this node."""
    elsewhere: tuple[str, ...] = ()
    """Where our VMID is besides: `NODE/lxc` or `NODE/qemu-server`, this node's virtual machines among them."""
    digest: str = ""
    """Of our container's configuration; a change that names it fails after anybody else's."""
    state: str = ""
    """Our container's: running, stopped, …; empty if there is none."""
    ha: frozenset[int] = frozenset()
    """VMIDs of containers that HA manages."""
    paths: Mapping[str, PathFact] = field(default_factory=dict)
    guest: GuestFacts | None = None
    """None: it does not run, or was not asked."""
    sees_paths: bool = True
    """Whether paths and version are what is there, and not what is taken for granted."""

    def path(self, path: str) -> PathFact:
        """What is at a path."""
        return self.paths.get(path, PathFact(""))


def look_at(wanted: Wanted, more_paths: Iterable[str] = ()) -> str:
    """The text for root's shell that looks at all that an agent wants."""
    paths = [*(it.path for it in wanted.directories), *(it.source for it in wanted.attached), *more_paths]
    words = ["look", str(wanted.vmid), *_places_inside(wanted), *dict.fromkeys(paths)]
    return f"{_LOOK.read_text(encoding='utf-8')}\n{shlex.join(words)} 2>/dev/null\n"


def look_inside(wanted: Wanted) -> str:
    """The text for a shell in the container that looks at what is in it: what the look at the node asks it as well."""
    script = _LOOK.read_text(encoding="utf-8").partition("readonly inside='\n")[2].partition("'\n")[0]
    return f"timeout -k 5 20 {shlex.join([*CLEAN, 'sh', '-c', script, 'sh', *_places_inside(wanted)])} </dev/null\n"


def _places_inside(wanted: Wanted) -> tuple[str, str]:
    """The directory of the payload and the file of the secrets; empty where there is none."""
    return wanted.payload.directory if wanted.payload else "", wanted.secrets.path if wanted.secrets else ""


def read_facts(output: bytes, vmid: int) -> Facts:
    """Read what the look printed.

    Raises:
        LookError: It is not whole.
    """
    fields = output.decode("utf-8", "replace").split("\0")
    triples = list(zip(fields[0::3], fields[1::3], fields[2::3], strict=False))
    if len(fields) != 3 * len(triples) + 1 or not triples or triples[-1] != ("end", "", str(len(triples) - 1)):
        raise LookError("the look at the node did not come to its end")
    one = dict.fromkeys(("node", "pve-container", "lxc-pve", "digest", "ha", "state", "inside"), "")
    containers, elsewhere, paths = {}, [], {}
    for kind, name, value in triples[:-1]:
        if kind == "guest":
            node, folder, file = name.split("/")
            number = int(file.removesuffix(".conf")) if file.removesuffix(".conf").isdecimal() else 0
            if folder == "lxc" and node == one["node"]:
                containers[number] = _container(number, value)
            elif number == vmid:
                elsewhere.append(f"{node}/{folder}")
        elif kind == "path":
            paths[name] = _path(value)
        elif kind in one:
            one[kind] = value
        else:
            raise LookError(f"the look at the node says {kind!r}, which is no fact")
    return Facts(
        node=one["node"],
        pve_container=one["pve-container"],
        lxc_pve=one["lxc-pve"],
        containers=containers,
        elsewhere=tuple(elsewhere),
        digest=one["digest"].partition(" ")[0],
        state=one["state"].lower(),
        ha=frozenset(map(int, re.findall(r"^ct:\s*(\d{1,9})\s*$", one["ha"], re.MULTILINE))),
        paths=paths,
        guest=read_guest(one["inside"]) if any(kind == "inside" for kind, *_ in triples) else None,
    )


def _container(vmid: int, text: str) -> Container:
    """Read a container's file (pve-container, PVE::LXC::Config, `parse_pct_config`)."""
    running: dict[str, str] = {}
    pending: dict[str, str | None] = {}
    section = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"\[([^\]]+)\]\s*", line):
            section = found[1]
        elif found := re.fullmatch(r"([a-z][a-z0-9_.-]*):\s*(.*?)\s*", line):
            if not section:
                running[found[1]] = found[2]
            elif section == "pve:pending" and found[1] == "delete":
                pending |= dict.fromkeys(key.lstrip("!") for key in re.split(r"[,;\s]+", found[2]) if key)
            elif section == "pve:pending":
                pending[found[1]] = found[2]
    return Container(vmid=vmid, running=running, pending=pending)


def _path(value: str) -> PathFact:
    found = re.fullmatch(r"(\d+) (\d+) ([0-7]+) ([^|]*)\|(.+)", value)
    if not found:
        return PathFact("")
    uid, gid, mode, mounted_at, kind = found.groups()
    return PathFact(kind=kind, uid=int(uid), gid=int(gid), mode=int(mode, 8), mounted_at=mounted_at)


def read_guest(text: str) -> GuestFacts:
    """Read what a container says of itself."""
    lines = text.splitlines()
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    payload = values.get("payload", "")
    executables = frozenset(line.removeprefix("executable ") for line in lines if line.startswith("executable "))
    found = re.search(r"^secrets (\d+:\d+) ([0-7]+)\n([0-9a-f]{64})\b", text, re.MULTILINE)
    return GuestFacts(
        is_whole=lines[-1:] == ["whole"],
        payload=payload if re.fullmatch(r"[0-9a-f]{64}", payload) and "unfinished" not in values else "",
        done=values.get("done", ""),
        executables=executables,
        secrets=(found[1], found[2], found[3]) if found else None,
    )
