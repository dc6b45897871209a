"""The wait for what should become well by itself."""

from __future__ import annotations

from collections.abc import Callable

from pve_agents.guest.answers import Answer
from pve_agents.guest.work import Work

__all__ = ["not_ready_sentence", "patiently"]


def patiently(work: Work, name: str, ask: Callable[[], Answer]) -> Answer:
    """Ask until it is well, will not be by itself, or the time is over."""
    since = work.machine.seconds()
    while (answer := ask()).state == "waiting":
        waited = work.machine.seconds() - since
        if waited >= work.software.health_seconds:
            late = f"{answer.detail} (waited {work.software.health_seconds} seconds)"
            return Answer("failed", late, answer.remedy)
        work.progress.waiting(f"{name}: {answer.detail} ({waited:.0f} of {work.software.health_seconds} seconds)")
        work.machine.sleep(1)
    return answer


def not_ready_sentence(name: str, answer: Answer) -> str:
    """Say what is not ready, why, and what to do."""
    return f"{name} is not ready: {answer.detail}. What to do: {answer.remedy}"
