"""One stack under Terraform: initialized when something changed, planned, and applied as it was planned."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pve_agents.operator.events import (
    Change,
    Diagnostic,
    Event,
    change_of,
    diagnostic_of,
    line_of,
    output_of,
    read_event,
)
from pve_agents.operator.stopped import FAILED, INTERRUPTED, Stopped
from pve_agents.operator.synth import Synthesized
from pve_agents.operator.words import explained

__all__ = ["Planned", "Stack"]

_HOW_TO_GET_ONE = "run `make setup`, or unset TERRAFORM_BINARY_NAME"
_CHANGES = 2
"""Exit status of ``plan -detailed-exitcode`` where something would change."""
_INITIALIZE_AGAIN = (
    "Inconsistent dependency lock file",
    "Required plugins are not installed",
    "Backend initialization",
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Planned:
    """What a plan found, and the file that holds it."""

    changes: tuple[Change, ...]
    diagnostics: tuple[Diagnostic, ...]
    is_change: bool
    """Whether there is anything to apply, outputs included."""
    is_refused: bool = False

    @property
    def warnings(self) -> list[str]:
        """Terraform's warnings, a line each."""
        return [
            f"{it.summary.rstrip('.')}: {' '.join(it.detail.split())}"
            for it in self.diagnostics
            if it.severity == "warning"
        ]


@dataclass
class Stack:
    """A stack that is written, with the environment that its Terraform gets."""

    name: str
    synthesized: Synthesized
    environment: Mapping[str, str]
    outputs: dict[str, object] = field(default_factory=dict, init=False)

    @property
    def directory(self) -> Path:
        """Where its Terraform runs."""
        return self.synthesized.directory

    @property
    def plan_file(self) -> Path:
        """Where a plan is kept until it is applied."""
        return self.directory / "agents.plan"

    @property
    def lock_file(self) -> Path:
        """Beside the state, with the hashes of the provider: what is synthesized anew does not take it away."""
        return self.directory.parents[2] / f"terraform.{self.name}.lock.hcl"

    def plan(self, *options: str) -> Planned:
        """Plan, and keep the plan.

        Raises:
            Stopped: Terraform cannot even begin.
        """
        self.initialize()
        planned = self._plan(*options)
        if any(it.summary.startswith(_INITIALIZE_AGAIN) for it in planned.diagnostics):
            self.initialize(again=True)
            planned = self._plan(*options)
        return planned

    def _plan(self, *options: str) -> Planned:
        # However this command ends: the next one is to plan anew.
        atexit.register(self.plan_file.unlink, missing_ok=True)
        changes: list[Change] = []
        diagnostics: list[Diagnostic] = []
        texts: list[str] = []

        def hear(event: Event) -> None:
            if change := change_of(event):
                changes.append(change)
            if diagnostic := diagnostic_of(event):
                diagnostics.append(diagnostic)
            if event.get("type") == "text":
                texts.append(str(event["@message"]))

        status = self._run(
            hear, "plan", "-json", "-input=false", "-detailed-exitcode", f"-out={self.plan_file}", *options
        )
        is_refused = status not in (0, _CHANGES)
        if is_refused and not any(it.severity == "error" for it in diagnostics):
            raise Stopped(*(texts or [f"{self.name}: Terraform ended with status {status}"]), status=FAILED)
        return Planned(tuple(changes), tuple(diagnostics), status == _CHANGES, is_refused)

    def apply(self, say: Say) -> None:
        """Do what is planned, and say what happens.

        Raises:
            Stopped: It failed, or was interrupted.
        """
        diagnostics: list[Diagnostic] = []

        def hear(event: Event) -> None:
            if diagnostic := diagnostic_of(event):
                diagnostics.append(diagnostic)
            self.outputs.update(output_of(event))
            for line in (line_of(event) or "").splitlines():
                say(line)

        # A plan has its targets in it already.
        environment = {name: it for name, it in self.environment.items() if not name.startswith("TF_CLI_ARGS")}
        try:
            status = self._run(hear, "apply", "-json", "-input=false", str(self.plan_file), environment=environment)
        finally:
            self.plan_file.unlink(missing_ok=True)
        if status:
            again = (
                f"{self.name} was not deployed to its end: run it again when the cause is gone, it goes on from there"
            )
            raise Stopped(*explained(self.name, diagnostics), again, status=FAILED)

    def show(self) -> dict[str, Any]:
        """Return the plan as Terraform shows it to programs."""
        done = self._read("show", "-json", str(self.plan_file))
        shown: dict[str, Any] = json.loads(done)
        return shown

    def read_outputs(self) -> dict[str, object]:
        """Return the outputs that the state holds."""
        self.initialize()
        return {name: it["value"] for name, it in json.loads(self._read("output", "-json")).items()}

    def initialize(self, *, again: bool = False) -> None:
        """Get the provider and the backend ready, unless they are.

        Raises:
            Stopped: They cannot be had.
        """
        content = json.dumps([self.synthesized.content.get("terraform"), self.directory.as_posix()], sort_keys=True)
        used, kept = self.directory / ".terraform.lock.hcl", self.lock_file
        if not used.is_file() and kept.is_file():
            shutil.copyfile(kept, used)
        locked = used.read_bytes() if used.is_file() else b""
        stamp = self.directory / ".terraform" / "agents-initialized"
        digest = hashlib.sha256(content.encode() + locked).hexdigest()
        if not again and stamp.is_file() and stamp.read_text() == digest:
            return
        command = ("init", "-input=false", "-no-color", *(["-reconfigure"] if again else []))
        done = self._call(*command)
        if done.returncode:
            raise Stopped(*self._why(done), status=FAILED)
        if used.is_file():
            locked = used.read_bytes()
            if not kept.is_file() or kept.read_bytes() != locked:
                kept.write_bytes(locked)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(hashlib.sha256(content.encode() + locked).hexdigest())

    def _why(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        """Terraform's error, without its frame."""
        lines = [line.strip(" │╷╵") for line in (done.stderr or done.stdout).splitlines()]
        lines = [line for line in lines if line]
        first = next((i for i, line in enumerate(lines) if line.startswith("Error: ")), 0)
        words = lines[first : first + 5]
        return [f"{self.name}: {words[0].removeprefix('Error: ') if words else 'Terraform failed'}", *words[1:]]

    def _read(self, *arguments: str) -> str:
        done = self._call(*arguments)
        if done.returncode:
            raise Stopped(*self._why(done), status=FAILED)
        return done.stdout

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self._cannot_be_run():
            return subprocess.run(
                [*self._terraform, *arguments],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )

    @contextlib.contextmanager
    def _cannot_be_run(self) -> Iterator[None]:
        """Say how to get a Terraform where there is none."""
        try:
            yield
        except OSError as error:
            raise Stopped(f"{self._terraform[0]} cannot be run ({error.strerror}): {_HOW_TO_GET_ONE}") from None

    def _run(self, hear: Callable[[Event], None], *arguments: str, environment: Mapping[str, str] | None = None) -> int:
        """Run Terraform and hand on each event; Ctrl-C lets it end in order."""
        # In a group of its own, where signals can be passed on: Terraform is to hear of Ctrl-C once, and not from the terminal
        # and from here.
        is_main = threading.current_thread() is threading.main_thread()
        with self._cannot_be_run():
            process = subprocess.Popen(
                [*self._terraform, *arguments],
                env=self._variables if environment is None else self._completed(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                process_group=0 if is_main else None,
            )
        with process, _passing_on(process, is_main=is_main) as passed_on:
            for line in process.stdout or ():
                hear(read_event(line))
            status = process.wait()
        if passed_on:
            said = f"interrupted: Terraform has ended in order, and {self.name} holds what was done until then; run it again"
            raise Stopped(said, status=INTERRUPTED)
        return status

    @property
    def _terraform(self) -> Sequence[str]:
        return [self.environment.get("TERRAFORM_BINARY_NAME") or "terraform", f"-chdir={self.directory}"]

    @property
    def _variables(self) -> dict[str, str]:
        return self._completed(self.environment)

    @staticmethod
    def _completed(environment: Mapping[str, str]) -> dict[str, str]:
        # The project's own Terraform is found before another one, and takes the user's where there is one.
        own, path = str(Path(sys.executable).parent), environment.get("PATH", os.defpath)
        if own not in path.split(os.pathsep):
            path = os.pathsep.join([own, path])
        return {**environment, "PATH": path, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[str], *, is_main: bool) -> Iterator[list[int]]:
    """Hand what would end this process on to the group of another, as Ctrl-C on a terminal does; note that it came."""
    came: list[int] = []

    def hand_on(number: int, _: object) -> None:
        came.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if is_main else ()
    before = {it: signal.signal(it, hand_on) for it in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
