"""Terraform as a process: what it says, why it failed, and how it ends at Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pve_agents.environment import with_own_programs
from pve_agents.operator.events import Event, read_event
from pve_agents.operator.signals import handled
from pve_agents.operator.stopped import FAILED, INTERRUPTED, Stopped

__all__ = ["Terraform"]

_HOW_TO_GET_ONE = "run `make setup`, or unset TERRAFORM_BINARY_NAME"


@dataclass(frozen=True)
class Terraform:
    """Terraform in a directory, whichever there is on this machine."""

    name: str
    """What its errors are about."""
    directory: Path
    environment: Mapping[str, str]

    def read(self, *arguments: str) -> str:
        """Return what a command answers.

        Raises:
            Stopped: It failed, or there is no Terraform.
        """
        with self._there():
            done = subprocess.run(
                self._command(arguments),
                env=self._variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise Stopped(*self._why(done), status=FAILED)
        return done.stdout

    def run(self, hear: Callable[[Event], None], *arguments: str) -> int:
        """Run a command and hand on each event; Ctrl-C lets it end in order.

        Returns:
            Its exit status.

        Raises:
            Stopped: It was interrupted, or there is no Terraform.
        """
        # In a group of its own, where signals can be passed on: Terraform is to hear of Ctrl-C once, and not from the terminal
        # and from here.
        is_main = threading.current_thread() is threading.main_thread()
        with self._there():
            process = subprocess.Popen(
                self._command(arguments),
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=0 if is_main else None,
            )
        came: list[int] = []

        def hand_on(number: int, _: object) -> None:
            came.append(number)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if is_main else ()
        with process, handled(hand_on, *numbers):
            for line in process.stdout or ():
                hear(read_event(line))
            status = process.wait()
        if came:
            said = f"interrupted: Terraform has ended in order, and {self.name} holds what was done until then; run it again"
            raise Stopped(said, status=INTERRUPTED)
        return status

    @property
    def _program(self) -> str:
        return self.environment.get("TERRAFORM_BINARY_NAME") or "terraform"

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [self._program, f"-chdir={self.directory}", *arguments]

    @property
    def _variables(self) -> dict[str, str]:
        return {**with_own_programs(self.environment), "TF_IN_AUTOMATION": "1"}

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        """Say how to get a Terraform where there is none."""
        try:
            yield
        except OSError as error:
            raise Stopped(f"{self._program} cannot be run ({error.strerror}): {_HOW_TO_GET_ONE}") from None

    def _why(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        """Terraform's error, without its frame."""
        lines = [line.strip(" │╷╵") for line in (done.stderr or done.stdout).splitlines()]
        lines = [line for line in lines if line]
        first = next((i for i, line in enumerate(lines) if line.startswith("Error: ")), 0)
        words = lines[first : first + 5]
        return [f"{self.name}: {words[0].removeprefix('Error: ') if words else 'Terraform failed'}", *words[1:]]
