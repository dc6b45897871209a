"""How the services are that have no checks of their own: as Docker sees them."""

from __future__ import annotations

from pve_agents.guest.answers import Answer
from pve_agents.guest.docker import Container, container_fault, container_remedy
from pve_agents.guest.plan import Sidecar
from pve_agents.guest.progress import fail
from pve_agents.guest.secrets import shortened
from pve_agents.guest.waiting import not_ready_sentence, patiently
from pve_agents.guest.work import ComposeWork

__all__ = ["MOST_RESTARTS", "has_ended_well", "sidecar_answer", "wait_for_sidecar"]

MOST_RESTARTS = 5
"""So often a container may end until it is given up."""

_LONGEST_COMPLAINT = 300


def has_ended_well(sidecar: Sidecar, container: Container) -> bool:
    """Tell whether one that is to end has done what it is there for."""
    return sidecar.ends and container.status == "exited" and container.exit_code == "0"


def sidecar_answer(work: ComposeWork, sidecar: Sidecar, name: str, container: Container) -> Answer:
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


def wait_for_sidecar(work: ComposeWork, sidecar: Sidecar) -> None:
    """Wait until a service is ready that has no checks of its own."""
    shown = f"{work.plan.agent}-{sidecar.name}"

    def ask() -> Answer:
        nonlocal shown
        if (found := work.docker.of_service(sidecar.name)) is None:
            return Answer("failed", f"there is no container of {sidecar.name}", "deploy again")
        shown, container = found
        answer = sidecar_answer(work, sidecar, *found)
        if container.status in ("running", "restarting") and container.restarts < MOST_RESTARTS and not answer.ok:
            # One that ends at first, because another one is not there yet, may stay the next time.
            return Answer("waiting", answer.detail, answer.remedy)
        return answer

    if not (answer := patiently(work, sidecar.name, ask)).ok:
        fail(not_ready_sentence(sidecar.name, answer), *work.docker.log(shown, work.secrets))
