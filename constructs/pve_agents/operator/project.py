"""The project that a command works on: its settings, its files, and for each child process exactly its own credential."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dotenv import dotenv_values

from pve_agents.environment import ROOT_FILE, as_root, for_stacks, judged, without_credentials
from pve_agents.operator.stopped import Stopped
from pve_agents.private_files import exposed, for_the_owner_alone

if TYPE_CHECKING:
    from pve_agents.settings import Agent, Homelab

__all__ = ["DIRECTORY", "Project", "open_project", "root_file", "token_file"]

DIRECTORY = Path(__file__).resolve().parents[3]
"""Where cdktf.json and the settings are."""


@dataclass(frozen=True)
class Project:
    """The settings, and the variables of the operator."""

    variables: Mapping[str, str]
    """What is set where the command was started, and in ``.env``, which wins as under pipenv."""
    out: Path = DIRECTORY / "cdktf.out"
    """Where the stacks are written; their states lie beside it."""

    @cached_property
    def homelab(self) -> Homelab:
        """The settings.

        Raises:
            SettingsError: They are wrong.
        """
        from pve_agents.settings import load_settings  # noqa: PLC0415 - the stacks are begun to be written before

        return load_settings(DIRECTORY)

    def chosen(self, names: Sequence[str]) -> list[Agent]:
        """Return the agents of these names, or all where none is named.

        Raises:
            SettingsError: There is no such agent.
        """
        return self.homelab.chosen(names)

    @cached_property
    def without_credentials(self) -> dict[str, str]:
        """For what needs none."""
        return without_credentials(self.variables)

    @cached_property
    def of_the_token(self) -> dict[str, str]:
        """For the stacks of the API token, and for who asks the API."""
        agents = self.homelab.agents.values()
        delivered = {name for agent in agents for name in agent.delivery_variables}
        return for_stacks(self.variables, token=True, root=False, secrets=self._secrets, delivered=delivered)

    def of(self, agent: Agent) -> dict[str, str]:
        """For who delivers to an agent's container, or looks into it: root, or the token through its console.

        Raises:
            Stopped: Others can read root's file.
        """
        return self.of_root if agent.delivery == "root" else self.of_the_token

    @cached_property
    def of_root(self) -> dict[str, str]:
        """For the stacks of root, and for who looks at the node as root.

        Raises:
            Stopped: Others can read root's file.
        """
        try:
            return for_stacks(as_root(self.variables), token=False, root=True)
        except ValueError as error:
            raise Stopped(str(error)) from None

    @property
    def _secrets(self) -> set[str]:
        return {name for agent in self.homelab.agents.values() for name in agent.secret_names}


def token_file() -> Path:
    """Return the file with the token: the one that pipenv would read, which root's own is not."""
    named = Path(os.environ.get("PIPENV_DOTENV_LOCATION") or DIRECTORY / ".env")
    return DIRECTORY / ".env" if named == root_file() else named


def root_file() -> Path:
    """Return the file that says how root reaches the node."""
    return Path.home() / ROOT_FILE


def open_project() -> Project:
    """Read the operator's variables.

    Raises:
        Stopped: A variable would change what Terraform does, or others can read the token.
    """
    for_the_owner_alone(DIRECTORY)
    if not os.environ.get("PIPENV_DONT_LOAD_ENV"):
        file = token_file()
        if problem := exposed(file):
            raise Stopped(problem)
        os.environ.update({name: value for name, value in dotenv_values(file).items() if value is not None})
    environment = judged(os.environ)
    for note in environment.notes:
        print(note, file=sys.stderr)  # noqa: T201
    if environment.refusals:
        raise Stopped(*environment.refusals)
    return Project(environment.kept, _out())


def _out() -> Path:
    context = click.get_current_context(silent=True)
    named = context.find_root().params.get("output") if context else None
    return Path(named).absolute() if named else DIRECTORY / "cdktf.out"
