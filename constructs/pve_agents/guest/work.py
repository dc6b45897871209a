"""What all parts of the program share in one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from pve_agents.guest.docker import Docker
from pve_agents.guest.machine import CommandError, Machine
from pve_agents.guest.plan import Compose, Native, Plan, Software
from pve_agents.guest.progress import Progress
from pve_agents.guest.runtime import Runtime
from pve_agents.guest.secrets import Secrets, read_secrets

__all__ = ["STATE", "ComposeWork", "NativeWork", "Patience", "Work"]

STATE = "/var/lib/pve-agents"
"""What is remembered, of what runs the agents and of each agent."""

_SYNC_SECONDS = 600


@dataclass(frozen=True)
class Patience:
    """How long is waited for what should come by itself, in seconds."""

    network: float = 60
    daemon: float = 30
    retry: float = 5
    name: float = 30
    """For a name that Docker holds for a container that is being made."""


@dataclass
class Work:
    """One run for an agent."""

    plan: Plan
    software: Software
    machine: Machine
    progress: Progress
    payload: str
    """The directory of the payload, where this program is, too."""

    patience: Patience = Patience()
    secrets: Secrets = field(default_factory=Secrets)
    runtime: Runtime = field(init=False)
    """What runs the services."""

    @cached_property
    def docker(self) -> Docker:
        """Docker, for this agent."""
        return Docker(self.machine, self.plan.agent, self.project, self.software.stop_seconds)

    def read_secrets(self) -> None:
        """Know the secrets that are there now."""
        self.secrets = read_secrets(self.machine, self.plan.secrets_file)

    @property
    def project(self) -> str:
        """What is remembered of this agent, and what its containers are shown."""
        return f"{STATE}/{self.plan.agent}"

    @property
    def user(self) -> tuple[int, int]:
        """Whom the agent runs as."""
        return self.software.uid, self.software.gid

    @property
    def agent_setting(self) -> str:
        """What the settings of this agent start with."""
        return f"agents.{self.plan.agent}"

    @property
    def more_room(self) -> str:
        """What to do about a full disk."""
        return f"the disk of the container is full: make room, or raise {self.agent_setting}.disk.size_gib"

    @property
    def more_memory(self) -> str:
        """What to do about too little memory."""
        return f"raise {self.software.settings.memory}, and {self.agent_setting}.memory.dedicated_mib with it"

    @property
    def mend(self) -> str:
        """What to do about what another deploy puts right."""
        return f"run `pipenv run agents mend {self.plan.agent}`"

    def last_line(self, said: str) -> str:
        """Return the last line of what a program said, fit to be shown."""
        return self.secrets.redacted(said.rstrip("\n").rpartition("\n")[2])

    def last_lines(self, said: str, count: int = 5) -> list[str]:
        """Return the last lines of what a program said, fit to be shown."""
        return [self.secrets.redacted(line) for line in said.rstrip("\n").split("\n")[-count:]]

    def same(self, path: str, other: str) -> bool:
        """Tell whether two files are there and hold the same."""
        content = self.machine.read(path)
        return content is not None and content == self.machine.read(other)

    def remember(self, path: str, text: str) -> None:
        """Write a line or several into a file of ours."""
        self.machine.write(path, f"{text}\n".encode(errors="surrogateescape"))

    def sync(self, path: str) -> None:
        """Have all that was written on that disk written."""
        ran = self.machine.run("sync", "-f", path, seconds=_SYNC_SECONDS)
        if not ran.ok:
            raise CommandError(f"sync -f {path}")


@dataclass
class ComposeWork(Work):
    """One run for an agent that Docker Compose runs."""

    @cached_property
    def compose(self) -> Compose:
        """What Compose runs."""
        if not isinstance(self.software, Compose):
            raise TypeError(f"Docker Compose does not run {self.plan.agent}")
        return self.software

    @property
    def names(self) -> list[str]:
        """All services of the compose file."""
        return [*(it.name for it in self.compose.services), *(it.name for it in self.compose.sidecars)]


@dataclass
class NativeWork(Work):
    """One run for an agent that systemd runs."""

    @cached_property
    def native(self) -> Native:
        """What systemd runs."""
        if not isinstance(self.software, Native):
            raise TypeError(f"systemd does not run {self.plan.agent}")
        return self.software
