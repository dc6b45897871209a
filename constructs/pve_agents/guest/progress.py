"""What a person reads while the program works: a line for each step, a line now and then, one sentence for a failure."""

from __future__ import annotations

import sys
from typing import NoReturn, TextIO

from pve_agents.guest.machine import Machine
from pve_agents.guest.runtime import Step

__all__ = ["FailureError", "Progress", "fail"]

PROGRESS_SECONDS = 10


class FailureError(Exception):
    """The agent does not answer; the message says what, where, and what to do."""

    def __init__(self, sentence: str, *lines: str, is_said: bool = False) -> None:
        """Hold a sentence, and the lines that are shown below it; and whether the step has been said to have failed."""
        super().__init__(sentence)
        self.sentence, self.is_said = sentence, is_said
        self.lines = tuple(line for line in lines if line)


def fail(sentence: str, *lines: str) -> NoReturn:
    """End the run with a sentence, and the lines that are shown below it."""
    raise FailureError(sentence, *lines)


class Progress:
    """The lines of one run."""

    every_seconds = PROGRESS_SECONDS

    def __init__(self, agent: str, steps: int, machine: Machine, out: TextIO | None = None) -> None:
        """Begin.

        Args:
            agent: Each line starts with its name.
            steps: How many there are.
            machine: Whose clock counts.
            out: Where the lines go; standard output by default.
        """
        self._agent, self.steps, self._machine = agent, steps, machine
        self._out = out or sys.stdout
        self._number, self._name = 0, ""
        self._started = self._said = machine.seconds()
        self._changes: list[str] = []
        self._green, self._red, self._plain = ("\x1b[32m", "\x1b[31m", "\x1b[0m") if self._out.isatty() else ("",) * 3

    @property
    def changes(self) -> tuple[str, ...]:
        """What this step has changed until now."""
        return tuple(self._changes)

    def go_on_after(self, steps: int) -> None:
        """Know that so many steps are done already."""
        self._number = steps

    def begin(self, name: str) -> None:
        """Start the clock of something that is no step of the deploy."""
        self._name, self._changes = name, []
        self._started = self._said = self._machine.seconds()

    def step(self, step: Step) -> None:
        """Do a step, and say how it ended."""
        self._number += 1
        self.begin(step.name)
        step.do()
        how = f" ({', '.join(self._changes) or 'unchanged'})" if step.changes else ""
        self.say_of_step(f"{step.name} … {self._green}ok{self._plain}{how} {self._took()}")

    def failed(self) -> None:
        """Say that the step has failed."""
        self.say_of_step(f"{self._name} … {self._red}FAILED{self._plain} {self._took()}")

    def did(self, what: str) -> None:
        """Remember a change, for the line of the step."""
        self._changes.append(what)

    def say(self, text: str) -> None:
        """Say something of this step at once."""
        self._said = self._machine.seconds()
        self.say_of_step(f"{self._name}: {text}")

    def waiting(self, text: str) -> None:
        """Say something of this step if it has been quiet for a while."""
        if self._machine.seconds() - self._said >= self.every_seconds:
            self.say(text)

    def still(self) -> None:
        """Say that this step takes long, if it has been quiet for a while."""
        self.waiting(f"at work for {self._machine.seconds() - self._started:.0f} seconds")

    def hand_on(self, line: str) -> None:
        """Hand on a line that somebody else has said of this deploy."""
        self._said = self._machine.seconds()
        print(line, file=self._out, flush=True)

    def say_of_agent(self, text: str) -> None:
        """Say something of the agent, outside of any step."""
        print(f"[{self._agent}] {text}", file=self._out, flush=True)

    def say_of_step(self, text: str) -> None:
        """Say something with the number of the step."""
        print(f"[{self._agent} {self._number}/{self.steps}] {text}", file=self._out, flush=True)

    def _took(self) -> str:
        return f"{self._machine.seconds() - self._started:.1f}s"
