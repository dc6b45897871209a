"""Files for the inside of a container, packed so that the same files are always the same bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pve_agents.agents.app import App
from pve_agents.guest.plan import Plan, Workspace
from pve_agents.problems import SettingsError
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


def container_payload(agent: Agent, app: App) -> Payload:
    """Return what goes into an agent's container.

    Args:
        agent: The agent's settings.
        app: What its kind puts there.
    """
    compose, software, folder = app.compose, app.software, app.program
    workspaces = tuple(
        Workspace(
            str(mount.guest_path), mount.uid, mount.gid, mount.read_only, str(mount.mode) if mount.is_volume else ""
        )
        for mount in agent.mounts.values()
    )
    launcher = GuestFile((_PROGRAM / "launcher.sh").read_text(), mode=0o755)
    executables = software.programs if software else ()
    of_services = [secret for service in software.services for secret in service.secrets] if software else []
    of_sidecars = [name for sidecar in compose.sidecars for name in sidecar.secrets] if compose else []
    of_sidecars += compose.variables if compose else ()
    lengths = {it.source: it.least_length for it in of_services} | {it.name: it.minimum_length for it in app.secrets}
    ours = {
        "bootstrap": launcher,
        "verify": launcher,
        "plan.json": GuestFile(Plan(agent.name, workspaces, compose, app.checks, app.native).to_json()),
        "program/__main__.py": GuestFile((_PROGRAM / "__main__.py").read_text()),
        **{f"program/pve_agents/{it.name}": GuestFile(it.read_text()) for it in _SHARED},
        **program_files(_PROGRAM, "guest"),
        **(program_files(folder, f"agents/{folder.parent.name}/{folder.name}") if folder else {}),
        **{
            name: GuestFile((folder / name).read_text(), mode=0o755)
            for name in executables
            if folder and name not in app.files
        },
    }
    _check(app, ours)
    return Payload(
        directory=f"/opt/pve-agents/{agent.name}",
        files={
            **ours,
            **{name: GuestFile(text, 0o755 if name in executables else 0o644) for name, text in app.files.items()},
        },
        secrets=agent.secret_names,
        minimum_lengths={name: length for name, length in lengths.items() if length},
        secrets_of_compose=tuple(dict.fromkeys(of_sidecars)),
    )


def _check(app: App, ours: Mapping[str, GuestFile]) -> None:
    """Refuse what would be found out in the container only."""
    if taken := sorted(app.files.keys() & ours.keys()):
        raise SettingsError([f"app.py: the file {taken[0]} is the program's own; give it another name."])
    for module in filter(None, (app.software.checks if app.software else "", app.checks.module if app.checks else "")):
        if f"program/{module.replace('.', '/')}.py" not in ours:
            raise SettingsError([f"app.py: there is no module {module} among what `program` names; write one that is."])


def program_files(folder: Path, package: str) -> dict[str, GuestFile]:
    """Return a folder's part of the program that runs in the container, as it is: a person can read it there.

    Args:
        folder: A package of ours whose modules need the standard library only.
        package: Its place below ``pve_agents``.
    """
    files = (it for it in folder.glob("*.py") if it.name not in ("__init__.py", "__main__.py"))
    return {f"program/pve_agents/{package}/{it.name}": GuestFile(it.read_text()) for it in files}
