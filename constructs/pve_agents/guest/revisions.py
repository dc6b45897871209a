"""Whether a container is what the compose file, the settings and the secrets make of it now."""

from __future__ import annotations

from dataclasses import dataclass, field

from pve_agents.guest.docker import Container
from pve_agents.guest.progress import FailureError
from pve_agents.guest.work import ComposeWork

__all__ = ["Hashes", "read_hashes", "record_of"]


@dataclass(frozen=True)
class Hashes:
    """What Compose makes of its file."""

    wanted: dict[str, str] = field(default_factory=dict)
    """The hash of each service."""

    brought_up: dict[str, str] = field(default_factory=dict)
    """Hash and container of each service when we brought it up last."""

    def is_rendered(self, service: str, container: Container) -> bool:
        """Tell whether a container was made from this compose file.

        Older versions of Compose leave env_file out of the hash that they show and have it in the one of the container:
        then our own record tells.
        """
        wanted = self.wanted.get(service, "")
        return container.hash == wanted or self.brought_up.get(service) == f"{wanted} {container.id}"


def record_of(work: ComposeWork) -> str:
    """Return the file that keeps how services were brought up."""
    return f"{work.project}/containers"


def read_hashes(work: ComposeWork) -> Hashes:
    """Return what Compose makes of the delivered file.

    Raises:
        FailureError: Compose does not take the file; the sentence is what it says.
    """
    ran = work.docker.compose("config", "--hash", "*", joined=False)
    if not ran.ok:
        raise FailureError(work.last_line(ran.errors or ran.out))
    rows = (line.partition(" ") for line in ran.out.splitlines())
    before = (line.partition(" ") for line in work.machine.text(record_of(work)).splitlines())
    return Hashes({name: value.strip() for name, _, value in rows}, {name: rest for name, _, rest in before})
