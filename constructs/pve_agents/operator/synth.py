"""The stacks as main.py writes them, in a process without any credential."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pve_agents.environment import with_own_programs
from pve_agents.operator.project import DIRECTORY, Project
from pve_agents.operator.stopped import FAILED, WRONG_INPUT, Stopped

__all__ = ["Synthesis", "Synthesized"]


@dataclass(frozen=True)
class Synthesized:
    """A stack's JSON, and what its constructs have to say."""

    directory: Path
    """Where Terraform runs."""
    warnings: tuple[str, ...]

    @property
    def content(self) -> dict[str, Any]:
        """The JSON."""
        content: dict[str, Any] = json.loads((self.directory / "cdk.tf.json").read_text(encoding="utf-8"))
        return content

    @property
    def addresses(self) -> list[str]:
        """Addresses of its resources and data sources."""
        return sorted(_addresses(self.content))


def _addresses(content: Mapping[str, Any]) -> Iterator[str]:
    for section, prefix in (("resource", ""), ("data", "data.")):
        for kind, named in content.get(section, {}).items():
            yield from (f"{prefix}{kind}.{name}" for name in named)


def _started(project: Project, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    environment = {**with_own_programs(project.without_credentials), "CDKTF_OUTDIR": str(project.out), **settings}
    return subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=DIRECTORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


class Synthesis:
    """main.py, which writes the stacks while its caller does something else."""

    def __init__(self, project: Project, **settings: str) -> None:
        """Start it.

        Args:
            project: What is written.
            settings: Variables that set something for this time, such as ``HOMELAB_AGENTS__LIBRARIAN__ADOPT``.
        """
        self._out = project.out
        self._written: dict[str, Synthesized] | None = None
        self._app = _started(project, settings)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whether it has come to its end or not."""
        if self._app.poll() is None:
            self._app.kill()
            self._app.communicate()

    def stacks(self) -> dict[str, Synthesized]:
        """Return the stacks by name, where cdktf writes them, too.

        Raises:
            Stopped: The app refuses, and says why in sentences.
        """
        if self._written is None:
            self._written = self._read()
        return self._written

    def _read(self) -> dict[str, Synthesized]:
        _, said = self._app.communicate()
        if self._app.returncode == WRONG_INPUT:
            raise Stopped(said.strip())
        if self._app.returncode:
            raise Stopped("the stacks cannot be written; main.py says:", said.strip(), status=FAILED)
        manifest = json.loads((self._out / "manifest.json").read_text(encoding="utf-8"))
        return {
            name: Synthesized(
                directory=(self._out / stack["synthesizedStackPath"]).parent,
                warnings=tuple(it["message"] for it in stack["annotations"] if it["level"] == "@cdktf/warn"),
            )
            for name, stack in manifest["stacks"].items()
        }
