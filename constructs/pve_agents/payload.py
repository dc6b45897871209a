"""Files for the inside of a container, packed so that the same files are always the same bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pve_agents.guest.plan import App, Plan, Workspace
from pve_agents.settings import Agent

_PACKAGE = Path(__file__).parent
# Beside its own package, what the program needs of ours.
_PROGRAM, _SHARED = _PACKAGE / "guest", (_PACKAGE / "secret_values.py",)


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
    """Where in the container, e.g. ``/opt/pve-agents/hermes``; nothing else lives there."""

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


def container_payload(
    agent: Agent, app: App | None = None, *, files: Mapping[str, GuestFile] | None = None, kind: Path | None = None
) -> Payload:
    """Return what goes into an agent's container.

    Args:
        agent: The agent's settings.
        app: What Docker Compose runs in it. Without one, nobody knows what runs there.
        files: What Docker and the agent read there, by its path.
        kind: The folder of what the agent's kind adds to the program: its checks, and the programs that the app names.
    """
    workspaces = tuple(
        Workspace(str(mount.guest_path), mount.uid, mount.gid, mount.read_only) for mount in agent.mounts.values()
    )
    launcher = GuestFile((_PROGRAM / "launcher.sh").read_text(), mode=0o755)
    programs = {it: GuestFile((kind / it).read_text(), mode=0o755) for it in app.programs} if app and kind else {}
    secrets = [secret for service in app.services for secret in service.secrets] if app else []
    return Payload(
        directory=f"/opt/pve-agents/{agent.name}",
        files={
            "bootstrap": launcher,
            "verify": launcher,
            "plan.json": GuestFile(Plan(agent.name, workspaces, app).to_json()),
            "program/__main__.py": GuestFile((_PROGRAM / "__main__.py").read_text()),
            **_program(*_SHARED),
            **program_files(_PROGRAM),
            **(program_files(kind) if kind else {}),
            **programs,
            **(files or {}),
        },
        secrets=agent.secrets,
        minimum_lengths={secret.source: secret.least_length for secret in secrets if secret.least_length},
        secrets_of_compose=tuple(dict.fromkeys(name for it in app.sidecars for name in it.secrets)) if app else (),
    )


def program_files(folder: Path) -> dict[str, GuestFile]:
    """Return a folder's part of the program that runs in the container, as it is: a person can read it there.

    Args:
        folder: A package of ours whose modules need the standard library only.
    """
    return _program(*(it for it in folder.glob("*.py") if it.name not in ("__init__.py", "__main__.py")))


def _program(*files: Path) -> dict[str, GuestFile]:
    return {f"program/{it.relative_to(_PACKAGE.parent)}": GuestFile(it.read_text()) for it in files}
