"""One stack under Terraform: initialized when something changed, planned, and applied as it was planned."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
)
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.operator.synth import Synthesized
from pve_agents.operator.terraform import Terraform
from pve_agents.operator.words import explained
from pve_agents.state_guard import CONTAINER

__all__ = ["Planned", "Stack"]

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
    def _terraform(self) -> Terraform:
        return Terraform(self.name, self.directory, self.environment)

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

        status = self._terraform.run(
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
        terraform = replace(self._terraform, environment=environment)
        status = terraform.run(hear, "apply", "-json", "-input=false", str(self.plan_file))
        if status:
            again = (
                f"{self.name} was not deployed to its end: run it again when the cause is gone, it goes on from there"
            )
            raise Stopped(*explained(self.name, diagnostics), again, status=FAILED)

    def show(self) -> dict[str, Any]:
        """Return the plan as Terraform shows it to programs."""
        shown: dict[str, Any] = json.loads(self._terraform.read("show", "-json", str(self.plan_file)))
        return shown

    def containers_that_go(self) -> list[tuple[str, int]]:
        """Return node and VMID of each container that the plan takes away, as the state knows it."""
        changes = [it for it in self.show().get("resource_changes", ()) if it["type"] == CONTAINER]
        gone = (it["change"]["before"] for it in changes if "delete" in it["change"]["actions"])
        return [(str(it["node_name"]), int(it["vm_id"])) for it in gone]

    def read_outputs(self) -> dict[str, object]:
        """Return the outputs that the state holds."""
        self.initialize()
        return {name: it["value"] for name, it in json.loads(self._terraform.read("output", "-json")).items()}

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

        def digest() -> str:
            return hashlib.sha256(content.encode() + locked).hexdigest()

        if not again and stamp.is_file() and stamp.read_text() == digest():
            return
        command = ("init", "-input=false", "-no-color", *(["-reconfigure"] if again else []))
        self._terraform.read(*command)
        if used.is_file():
            locked = used.read_bytes()
            if not kept.is_file() or kept.read_bytes() != locked:
                kept.write_bytes(locked)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest())
