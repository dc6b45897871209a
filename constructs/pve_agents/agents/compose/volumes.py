"""What a service is shown of the LXC container: its volumes, in Compose's short spelling and in its long one."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_agents.types import shown

__all__ = ["Volume", "below", "volume"]

_FLAGS = {"ro": True, "rw": False}
_MEANINGLESS = frozenset({"cached", "consistent", "delegated", "z", "Z"})
_PROPAGATION = frozenset({"private", "rprivate", "rshared", "rslave", "shared", "slave"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONG = ("bind", "consistency", "read_only", "source", "target", "tmpfs", "type", "volume")
_WRITE = "source:target or source:target:ro, such as ./data:/data"


@dataclass(frozen=True)
class Volume:
    """One volume of a service."""

    type: str
    """``bind``, ``volume`` or ``tmpfs``."""

    source: str
    """The path as the file has it, or the name of a volume; empty where it has none."""

    target: str
    read_only: bool = False
    rest: Mapping[str, Any] = field(default_factory=dict)
    """What else is said of it."""

    @property
    def spelled(self) -> dict[str, Any]:
        """How Compose wants it."""
        source = {"source": self.source} if self.source else {}
        read_only = {"read_only": True} if self.read_only else {}
        return {"type": self.type, **source, "target": self.target, **read_only, **self.rest}


def volume(value: object) -> Volume:
    """Return what a volume is.

    Raises:
        ValueError: It is none. The phrase says what to write instead.
    """
    found = _short(value) if isinstance(value, str) else _long(value)
    if not found.target.startswith("/"):
        raise ValueError(f"{shown(found.target)} is no path in the service's container; write an absolute one")
    if found.type == "bind" and not found.source:
        raise ValueError("a bind has a source; write it, such as ./data")
    if found.type == "volume" and found.source and not _NAME.fullmatch(found.source):
        raise ValueError(f"{shown(found.source)} is no name of a volume; write letters, digits, hyphens and dots")
    return found


def _short(value: str) -> Volume:
    source, target, *options = [*value.split(":"), ""] if ":" in value else ("", value)
    flags = [it for it in (options[0].split(",") if options else []) if it]
    if len(options) > 2 or not target:  # noqa: PLR2004 - the mode, and what was added
        raise ValueError(f"{shown(value)} is not a volume; write {_WRITE}")
    read_only, rest = False, {}
    is_path = source.startswith(("/", ".", "~"))
    for flag in flags:
        if flag in _FLAGS:
            read_only = _FLAGS[flag]
        elif flag == "nocopy" and not is_path:
            rest = {"volume": {"nocopy": True}}
        elif flag in _PROPAGATION:
            raise ValueError(f"{shown(value)} has its mounts seen outside of the container; leave {flag} out")
        elif flag not in _MEANINGLESS:
            raise ValueError(
                f"{shown(value)} ends in {shown(flag)}, which is no mode of a volume; write ro, or leave it out"
            )
    return Volume("bind" if is_path else "volume", source, target, read_only, rest)


def _long(value: object) -> Volume:
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a volume; write {_WRITE}")  # noqa: TRY004 - pydantic's way
    if foreign := [it for it in value if it not in _LONG]:
        raise ValueError(f"a volume has no key {shown(foreign[0])}; leave it out, or write one of {', '.join(_LONG)}")
    kind, source, target = (value.get(it, "") for it in ("type", "source", "target"))
    if kind not in {"bind", "tmpfs", "volume"}:
        raise ValueError(f"{shown(kind)} is no type of a volume here; write bind, volume or tmpfs")
    if not isinstance(source, str) or not isinstance(target, str):
        raise ValueError("source and target are texts; write them in quotes")  # noqa: TRY004 - pydantic's way
    read_only = value.get("read_only", False)
    if not isinstance(read_only, bool):
        raise ValueError(f"read_only is {shown(read_only)}; write true or false")  # noqa: TRY004 - pydantic's way
    bind = value.get("bind") or {}
    if not isinstance(bind, Mapping) or bind.keys() - {"create_host_path", "selinux"}:
        raise ValueError("of a bind nothing is said here but its source and target; leave the rest of bind out")
    kept = {it: value[it] for it in ("tmpfs", "volume") if it in value}
    return Volume(kind, source, target, read_only, kept)


def below(path: str) -> str | None:
    """Return a relative path in its plain form, such as ``conf/a.yml``; none where it leads out of its folder."""
    plain = posixpath.normpath(path)
    return None if path.startswith(("/", "~")) or plain.startswith("..") else plain
