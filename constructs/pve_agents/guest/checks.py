"""What a kind of agent tells of itself: whether it is ready, whether it answers, and what of it is wrong.

A kind's module has a class ``Checks``, and the plan names the module. It derives from :class:`KindChecks` where it looks from where
each agent runs, and from :class:`OwnChecks` where it looks from the outside, whoever runs the software.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pve_agents.guest.answers import Answer, Check
from pve_agents.guest.machine import TIMED_OUT, Machine, Ran
from pve_agents.guest.plan import Checks, Json, Service
from pve_agents.guest.work import Work

__all__ = ["Answer", "Check", "Inside", "KindChecks", "OwnChecks", "checks_of", "own_checks_of"]

_STATES = ("ok", "waiting", "failed", "skipped")


class Inside:
    """The way to where one service runs."""

    def __init__(self, work: Work, service: Service) -> None:
        """Know which one."""
        self.work, self.service = work, service

    @property
    def arguments(self) -> dict[str, object]:
        """What the kind has put into the plan for its checks."""
        return dict(self.service.checks)

    def say(self, text: str) -> None:
        """Say what is waited for, if it takes long."""
        self.work.progress.waiting(f"{self.service.name}: {text}")

    def ask(self, program: Path, *words: str, seconds: float) -> Answer:
        """Run a Python program in there, as the agent's user: it prints STATE, DETAIL and REMEDY with tabs between.

        Args:
            program: A file beside the kind's module, which is sent on standard input.
            words: Its arguments; no secret is one.
            seconds: How long it may take.
        """
        ran = self._run(program, words, seconds=seconds, joined=True)
        name, redacted = self.service.name, self.work.secrets.redacted
        state, detail, remedy = map(redacted, [*ran.last_line.split("\t", 2), "", ""][:3])
        if ran.ok and state in _STATES:
            return Answer(state, detail, remedy.replace("AGENT", self.work.plan.agent))
        if ran.status == TIMED_OUT:
            detail = f"no answer from inside {name} within {seconds:.0f} seconds"
            return Answer("failed", detail, self.work.runtime.remedy_of_silence(name))
        detail = f"cannot look into {self.work.runtime.facts(name).what}: {redacted(ran.last_line)}"
        return Answer("failed", detail, f"look at {self.work.runtime.remedy_of_log(name)} in the container")

    def text(self, program: Path, *words: str, seconds: float) -> list[str]:
        """Run a Python program in there, and return the lines that it prints; none if it fails."""
        ran = self._run(program, words, seconds=seconds, joined=False)
        return [self.work.secrets.redacted(line) for line in ran.out.splitlines()] if ran.ok else []

    def _run(self, program: Path, words: tuple[str, ...], *, seconds: float, joined: bool) -> Ran:
        command, content = ("python3", "-I", "-", *words), program.read_bytes()
        return self.work.runtime.run_inside(self.service.name, *command, seconds=seconds, stdin=content, joined=joined)


class _Proofs:
    """What every kind can tell of its software. What a kind has nothing to say about, it leaves as it is here."""

    def ready(self) -> Answer:
        """Tell whether it is ready; where we run it, asked again until it is, or the time is over."""
        return Answer("ok", "")

    def prove(self) -> Answer:
        """Tell whether it does what it is there for: the last proof of a deploy."""
        return Answer("ok", "")

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield what is well and what is not.

        Args:
            chat: Whether it may be asked for something that costs money.
        """
        del chat
        yield from ()


class KindChecks(_Proofs):
    """What a kind can tell of one service that runs."""

    def __init__(self, inside: Inside) -> None:
        """Look at one of them."""
        self.inside = inside

    def log(self) -> list[str]:
        """Return the last lines of its own log that say what went wrong; none where only the container has one."""
        return []

    def names(self) -> list[str]:
        """Return the names of the checks that :meth:`look` makes, for when it cannot."""
        return []


def checks_of(work: Work, service: Service) -> KindChecks:
    """Return what the kind of this plan can tell of a service."""
    checks: KindChecks = importlib.import_module(work.software.checks).Checks(Inside(work, service))
    return checks


class OwnChecks(_Proofs):
    """What a kind can tell of its software from the outside, in the container."""

    def __init__(self, machine: Machine, arguments: Mapping[str, Json]) -> None:
        """Look at the container.

        Args:
            machine: The container.
            arguments: What the kind has put into the plan for its checks.
        """
        self.machine, self.arguments = machine, arguments


def own_checks_of(machine: Machine, told: Checks) -> OwnChecks:
    """Return what the kind of a plan can tell of the container."""
    checks: OwnChecks = importlib.import_module(told.module).Checks(machine, told.arguments)
    return checks
