"""How the services are that have no checks of their own: as Docker sees them."""

from __future__ import annotations

from pve_agents.guest.checks import Answer
from pve_agents.guest.docker import Container, container_fault, container_remedy
from pve_agents.guest.plan import Sidecar
from pve_agents.guest.secrets import shortened
from pve_agents.guest.work import Work

__all__ = ["has_ended_well", "sidecar_answer"]

_LONGEST_COMPLAINT = 300


def has_ended_well(sidecar: Sidecar, container: Container) -> bool:
    """Tell whether one that is to end has done what it is there for."""
    return sidecar.ends and container.status == "exited" and container.exit_code == "0"


def sidecar_answer(work: Work, sidecar: Sidecar, name: str, container: Container) -> Answer:
    """Return how a service is.

    Args:
        work: The run.
        sidecar: The service.
        name: The name of its container.
        container: What Docker knows of it.
    """
    if has_ended_well(sidecar, container):
        return Answer("ok", "has done its work")
    if fault := container_fault(container, name, work.secrets):
        return Answer("failed", fault, container_remedy(container, name, work.more_memory))
    match container.health:
        case "unhealthy":
            said = shortened(work.last_line(work.docker.complaint(name)), _LONGEST_COMPLAINT)
            detail = f"container {name} is unhealthy" + (f": {said}" if said else "")
            return Answer("waiting", detail, f"look at `docker logs --tail 50 {name}` in the container")
        case "starting":
            return Answer("waiting", f"container {name} is starting", "wait for its healthcheck, and look again")
    return Answer("ok", f"running since {container.since:%Y-%m-%d %H:%M} UTC")
