"""The wait until every service is ready, and the last proof that it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from pve_agents.guest.checks import Answer, KindChecks, checks_of, own_checks_of
from pve_agents.guest.docker import container_fault, container_remedy, memory_fault
from pve_agents.guest.images import keep_two_images
from pve_agents.guest.plan import Service, Sidecar
from pve_agents.guest.progress import fail
from pve_agents.guest.sidecars import sidecar_answer
from pve_agents.guest.work import Work

__all__ = ["prove_all", "recent_log", "wait_for_all"]

_MOST_RESTARTS = 5


def wait_for_all(work: Work) -> None:
    """Wait until every service is ready."""
    for service in work.compose.services:
        _wait(work, service, checks_of(work, service))
    for sidecar in work.compose.sidecars:
        _wait_for_sidecar(work, sidecar)
    if work.plan.checks is not None:
        checks = own_checks_of(work.machine, work.plan.checks)
        if not (answer := _patiently(work, work.plan.agent, checks.ready)).ok:
            fail(_not_ready_sentence(work.plan.agent, answer))


def _patiently(work: Work, name: str, ask: Callable[[], Answer]) -> Answer:
    """Ask until it is well, will not be by itself, or the time is over."""
    since = work.machine.seconds()
    while (answer := ask()).state == "waiting":
        waited = work.machine.seconds() - since
        if waited >= work.compose.health_seconds:
            late = f"{answer.detail} (waited {work.compose.health_seconds} seconds)"
            return Answer("failed", late, answer.remedy)
        work.progress.waiting(f"{name}: {answer.detail} ({waited:.0f} of {work.compose.health_seconds} seconds)")
        work.machine.sleep(1)
    return answer


def _wait_for_sidecar(work: Work, sidecar: Sidecar) -> None:
    shown = f"{work.plan.agent}-{sidecar.name}"

    def ask() -> Answer:
        nonlocal shown
        if (found := work.docker.of_service(sidecar.name)) is None:
            return Answer("failed", f"there is no container of {sidecar.name}", "deploy again")
        shown, container = found
        answer = sidecar_answer(work, sidecar, *found)
        if container.status in ("running", "restarting") and container.restarts < _MOST_RESTARTS and not answer.ok:
            # One that ends at first, because another one is not there yet, may stay the next time.
            return Answer("waiting", answer.detail, answer.remedy)
        return answer

    if not (answer := _patiently(work, sidecar.name, ask)).ok:
        fail(_not_ready_sentence(sidecar.name, answer), *work.docker.log(shown, work.secrets))


def _not_ready_sentence(name: str, answer: Answer) -> str:
    return f"{name} is not ready: {answer.detail}. What to do: {answer.remedy}"


def _wait(work: Work, service: Service, checks: KindChecks) -> None:
    name, since = service.name, work.machine.seconds()
    until = since + work.compose.health_seconds
    while True:
        container = work.docker.container(name)
        if container is None:
            fail(f"there is no container {name}: deploy again")
        if container.is_running:
            answer = checks.ready()
            if answer.ok:
                return
        elif container.status in ("exited", "dead") or container.restarts >= _MOST_RESTARTS:
            _container_failed(work, service)
        else:
            answer = Answer("waiting", f"container {name} is {container.status}")
        if work.machine.seconds() >= until:
            _not_ready(work, service, answer)
        waited = int(work.machine.seconds() - since)
        work.progress.waiting(f"{name}: {answer.detail} ({waited} of {work.compose.health_seconds} seconds)")
        work.machine.sleep(1)


def _not_ready(work: Work, service: Service, answer: Answer) -> NoReturn:
    container = work.docker.container(service.name)
    if container is not None and container_fault(container, service.name, work.secrets):
        _container_failed(work, service)
    detail, remedy = answer.detail, answer.remedy
    if container is not None and (fault := memory_fault(work.machine, container, service.name)):
        detail, remedy = f"{detail}; {fault}", work.more_memory
    _failed(work, service, Answer("failed", f"{detail} (waited {work.compose.health_seconds} seconds)", remedy))


def _container_failed(work: Work, service: Service) -> NoReturn:
    container = work.docker.container(service.name)
    if container is None:
        fail(f"there is no container {service.name}: deploy again")
    fault = container_fault(container, service.name, work.secrets) or f"container {service.name} is {container.status}"
    remedy = container_remedy(container, service.name, work.more_memory)
    _failed(work, service, Answer("failed", fault, remedy))


def _failed(work: Work, service: Service, answer: Answer) -> NoReturn:
    fail(_not_ready_sentence(service.name, answer), *recent_log(work, service))


def recent_log(work: Work, service: Service) -> list[str]:
    """Return the last lines of the agent's own log, or of its container's, that say what went wrong."""
    container = work.docker.container(service.name)
    lines = checks_of(work, service).log() if container is not None and container.is_running else []
    return lines or work.docker.log(service.name, work.secrets)


def prove_all(work: Work) -> None:
    """Have all do what they are there for; then the images that nobody needs any more go."""
    for service in work.compose.services:
        answer = checks_of(work, service).prove()
        if not answer.ok:
            lines = recent_log(work, service) if answer.is_logged else []
            fail(f"{service.name}: {answer.detail}. What to do: {answer.remedy}", *lines)
    if work.plan.checks is not None and not (answer := own_checks_of(work.machine, work.plan.checks).prove()).ok:
        fail(f"{work.plan.agent}: {answer.detail}. What to do: {answer.remedy}")
    keep_two_images(work)
