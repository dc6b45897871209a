"""The wait until every service is ready, and the last proof that it answers."""

from __future__ import annotations

from typing import NoReturn

from pve_agents.guest.answers import Answer
from pve_agents.guest.checks import KindChecks, checks_of, own_checks_of
from pve_agents.guest.progress import fail
from pve_agents.guest.services import Service
from pve_agents.guest.waiting import not_ready_sentence, patiently
from pve_agents.guest.work import Work

__all__ = ["prove_all", "recent_log", "wait_for_all"]


def wait_for_all(work: Work) -> None:
    """Wait until every service is ready."""
    for service in work.software.services:
        _wait(work, service, checks_of(work, service))
    work.runtime.wait_for_others()
    if work.plan.checks is not None:
        checks = own_checks_of(work.machine, work.plan.checks)
        if not (answer := patiently(work, work.plan.agent, checks.ready)).ok:
            fail(not_ready_sentence(work.plan.agent, answer))


def _wait(work: Work, service: Service, checks: KindChecks) -> None:
    name, since = service.name, work.machine.seconds()
    until = since + work.software.health_seconds
    while True:
        facts = work.runtime.facts(name)
        if not facts.is_there:
            fail(f"there is no {facts.what}: deploy again")
        if facts.is_running:
            answer = checks.ready()
            if answer.ok:
                return
        elif facts.is_over:
            _failed(work, service, Answer("failed", facts.fault or facts.detail, facts.remedy))
        else:
            answer = Answer("waiting", facts.detail)
        if work.machine.seconds() >= until:
            _not_ready(work, service, answer)
        waited = int(work.machine.seconds() - since)
        work.progress.waiting(f"{name}: {answer.detail} ({waited} of {work.software.health_seconds} seconds)")
        work.machine.sleep(1)


def _not_ready(work: Work, service: Service, answer: Answer) -> NoReturn:
    facts = work.runtime.facts(service.name)
    if facts.fault:
        _failed(work, service, Answer("failed", facts.fault, facts.remedy))
    detail, remedy = answer.detail, answer.remedy
    if fault := work.runtime.memory_fault(service.name):
        detail, remedy = f"{detail}; {fault}", work.more_memory
    _failed(work, service, Answer("failed", f"{detail} (waited {work.software.health_seconds} seconds)", remedy))


def _failed(work: Work, service: Service, answer: Answer) -> NoReturn:
    fail(not_ready_sentence(service.name, answer), *recent_log(work, service))


def recent_log(work: Work, service: Service) -> list[str]:
    """Return the last lines of the agent's own log, or of its output, that say what went wrong."""
    lines = checks_of(work, service).log() if work.runtime.facts(service.name).is_running else []
    return lines or work.runtime.log(service.name)


def prove_all(work: Work) -> None:
    """Have all do what they are there for; then the versions that nobody needs any more go."""
    for service in work.software.services:
        answer = checks_of(work, service).prove()
        if not answer.ok:
            lines = recent_log(work, service) if answer.is_logged else []
            fail(f"{service.name}: {answer.detail}. What to do: {answer.remedy}", *lines)
    if work.plan.checks is not None and not (answer := own_checks_of(work.machine, work.plan.checks).prove()).ok:
        fail(f"{work.plan.agent}: {answer.detail}. What to do: {answer.remedy}")
    work.runtime.tidy()
