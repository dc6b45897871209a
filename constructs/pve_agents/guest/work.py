"""What all parts of the program share in one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from pve_agents.guest.docker import Docker
from pve_agents.guest.machine import CommandError, Machine
from pve_agents.guest.plan import Compose, Plan
from pve_agents.guest.progress import Progress
from pve_agents.guest.secrets import Secrets, read_secrets

__all__ = ["STATE", "Patience", "Work"]

STATE = "/var/lib/pve-agents"
"""What is remembered, of Docker and of each agent."""

_STEPS = 9
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
    """One run for an agent that Docker Compose runs."""

    plan: Plan
    compose: Compose
    machine: Machine
    progress: Progress
    payload: str
    """The directory of the payload, where this program is, too."""

    patience: Patience = Patience()
    secrets: Secrets = field(default_factory=Secrets)
    docker: Docker = field(init=False)

    def __post_init__(self) -> None:
        """Know Docker."""
        self.docker = Docker(self.machine, self.plan.agent, self.project, self.compose.stop_seconds)

    @classmethod
    def of(cls, plan: Plan, machine: Machine, payload: str, patience: Patience) -> Work | None:
        """Return what all parts share; none for an agent that Compose does not run.

        Args:
            plan: What the program is told.
            machine: The container.
            payload: The directory of the payload.
            patience: How long is waited for what should come by itself.
        """
        if plan.compose is None:
            return None
        work = cls(plan, plan.compose, machine, Progress(plan.agent, _STEPS, machine), payload, patience)
        work.read_secrets()
        return work

    def read_secrets(self) -> None:
        """Know the secrets that are there now."""
        self.secrets = read_secrets(self.machine, self.plan.secrets_file)

    @property
    def project(self) -> str:
        """What is remembered of this agent, and what its containers are shown."""
        return f"{STATE}/{self.plan.agent}"

    @property
    def names(self) -> list[str]:
        """All services of the compose file."""
        return [*(it.name for it in self.compose.services), *(it.name for it in self.compose.sidecars)]

    @property
    def user(self) -> tuple[int, int]:
        """Whom the agent runs as."""
        return self.compose.uid, self.compose.gid

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
        return f"raise {self.compose.settings.memory}, and {self.agent_setting}.memory.dedicated_mib with it"

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
