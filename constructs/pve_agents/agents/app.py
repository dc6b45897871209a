"""What a container of a kind gets, beside what any container gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from pve_agents import agents
from pve_agents.agents.docker import Docker
from pve_agents.agents.kind import OfKind, own_kinds
from pve_agents.guest.plan import Checks, Compose, Data, Engine, Native, Software
from pve_agents.problems import SettingsError
from pve_agents.stopping import Stopping

__all__ = ["App", "Data", "Secret", "app_of", "engine_of"]


@dataclass(frozen=True)
class Secret:
    """A secret that a container gets."""

    name: str
    """Name of the variable that holds it where the agent is deployed, and under which it is delivered."""

    minimum_length: int = 0
    """How many characters it has at least. Defaults to none."""


@dataclass(frozen=True)
class App:
    """What a kind puts into a container."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by their path in the payload; none holds a secret."""

    compose: Compose | None = None
    """What Docker Compose runs there. Defaults to nothing."""

    native: Native | None = None
    """What systemd runs there instead. Defaults to nothing."""

    checks: Checks | None = None
    """What tells from the outside whether it works. Defaults to nothing."""

    program: Path | None = None
    """Folder of what the kind adds to the program in the container: modules that need the standard library only, and what
    ``compose`` or ``native`` names as programs. Defaults to none."""

    secrets: Sequence[Secret] = ()
    """What is to be known of its secrets, beside what those two say of them."""

    data: Sequence[Data] | None = None
    """Directories with what it keeps and cannot get again, beside what those two say of them. Defaults to nothing where
    there is one of the two; otherwise nobody knows, and it may be anywhere."""

    next_steps: Sequence[str] = ()
    """What to do with it once it answers, a line each; ``{address}`` is the container's. Defaults to nothing."""

    @property
    def software(self) -> Software | None:
        """What runs there, whoever runs it."""
        return self.compose or self.native

    @property
    def kept(self) -> tuple[Data, ...]:
        """All that it keeps and cannot get again, with where that lies in the container."""
        software = self.software
        if software is None and self.data is None:
            return (Data("what is in it", "/"),)
        services = software.services if software else ()
        found = [Data(f"the data of {it.name}", it.data_directory) for it in services]
        # Its workspaces, most of which are mounts.
        found += [Data(f"the files of {it.name}", directory) for it in services for directory in it.directories]
        found += self.compose.data if self.compose else ()
        return tuple(dict.fromkeys([*found, *(self.data or ())]))


def engine_of(docker: Docker, stopping: Stopping) -> Engine:
    """Return what Docker's daemon is to be told; its other settings stay as they are.

    Args:
        docker: What the settings say of it.
        stopping: How long what it runs may take to stop.
    """
    mirrors = list(docker.registry_mirrors)
    daemon = {**({"registry-mirrors": mirrors} if mirrors else {}), "shutdown-timeout": stopping.engine}
    return Engine(docker.source, daemon, stopping.unit)


def app_of(agent: OfKind) -> App:
    """Return what an agent's container gets of its kind, by ``app(agent)`` in the kind's ``app.py``.

    Raises:
        SettingsError: That cannot be imported or fails, or returns something else.
    """
    if agent.section is None:
        return App()
    kind = agent.section.kind
    try:
        app = import_module(f"{agents.__name__}.{kind}.app").app(agent)
    except Exception as error:
        if kind in own_kinds():
            raise
        raise SettingsError([f"{kind}/app.py: app() fails ({type(error).__name__}: {error}); correct it."]) from None
    if not isinstance(app, App):
        raise SettingsError([f"{kind}/app.py: app() returns {type(app).__name__}; return an App."])
    return app
