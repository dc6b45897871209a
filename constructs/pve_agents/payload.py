"""Files for the inside of a container, packed so that the same files are always the same bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pve_agents.settings import Agent


@dataclass(frozen=True)
class GuestFile:
    """A file of the payload."""

    text: str
    """What is in it; never a secret, since the payload lies in ``cdktf.out``."""

    mode: int = 0o644
    """Its permissions; the owner is root."""


@dataclass(frozen=True)
class Payload:
    """What the root stack puts into a root-owned directory of the container."""

    directory: str
    """Where in the container, e.g. ``/opt/pve-agents/librarian``; nothing else lives there."""

    files: Mapping[str, GuestFile]
    """The files by their path below the directory."""

    secrets: tuple[str, ...] = ()
    """Names of what it needs besides; the values come from the environment of whoever deploys."""

    minimum_lengths: Mapping[str, int] = field(default_factory=dict)
    """How many characters a secret has at least, by its name."""

    secrets_of_compose: tuple[str, ...] = ()
    """Names of those that Compose reads from a file, where it takes no backslash before a quote or at the end."""

    @cached_property
    def archive(self) -> bytes:
        """The files as tar.gz, without owner, time or order of this machine."""
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, file in sorted(self.files.items()):
                content = file.text.encode()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), file.mode
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()


def container_payload(agent: Agent, *, scripts: Path) -> Payload:
    """Return what goes into any agent's container, whatever runs in it.

    Args:
        agent: The agent's settings.
        scripts: The directory of the scripts that run in the container: ``bootstrap``, ``verify`` and what they use.
    """
    workspaces = "".join(
        f"{'read' if mount.read_only else 'write'} {mount.uid}:{mount.gid} {mount.guest_path}\n"
        for mount in agent.mounts.values()
    )
    files = {
        path.name: GuestFile(path.read_text(), mode=0o644 if path.suffix else 0o755)
        for path in sorted(scripts.iterdir())
        if path.is_file()
    }
    return Payload(
        directory=f"/opt/pve-agents/{agent.name}",
        files={**files, "workspaces": GuestFile(workspaces)},
        secrets=agent.secrets,
    )
