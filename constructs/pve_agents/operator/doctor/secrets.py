"""The agents' secrets: whether all of them are there, and what a kind finds out with them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from pydantic import SecretStr

from pve_agents.agents.doctor import checks_of
from pve_agents.findings import Check, Outcome, failed, ok, parted, skipped
from pve_agents.host.given import Given, read_given
from pve_agents.host.place import is_by_hand
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.wanted import Wanted
from pve_agents.operator.project import Project
from pve_agents.operator.stopped import Stopped
from pve_agents.secret_values import secrets_variable
from pve_agents.settings import Agent

__all__ = ["checks", "judge_given"]

_LEAST_SHOWN = 4


class _Secrets:
    """An agent's secrets, read once."""

    def __init__(self, project: Project, agent: Agent, wanted: Wanted) -> None:
        """Know which there are to be."""
        self._project, self._agent, self._wanted = project, agent, wanted

    @cached_property
    def given(self) -> Given:
        """Those that are at hand."""
        return read_given(self._wanted.secrets, self._project.of(self._agent), agent=self._agent.name)

    def look(self) -> Outcome:
        """Tell whether all are there."""
        try:
            variables = self._project.of(self._agent)
            file = variables.get(secrets_variable(self._agent.name), "")
            if not self._wanted.by_console and not file and is_by_hand(variables):
                return skipped(f"with PVE_TRANSPORT={variables['PVE_TRANSPORT']} you push them by hand")
            return judge_given(self._agent.name, self.given, file)
        except (Stopped, WrongSettingsError) as error:
            return failed(*parted(str(error), "correct it in the agent's secrets file"))

    def one(self, name: str) -> SecretStr:
        """Return one of them, once they were looked at."""
        return SecretStr(self.given.values.get(name, ""))

    def hidden_in(self, check: Check) -> Check:
        """Return a check in whose words none of them is, whatever somebody's server or library says."""

        def ask() -> Outcome:
            found = check.ask()
            return replace(found, detail=self._hidden(found.detail), remedy=self._hidden(found.remedy))

        return replace(check, ask=ask)

    def _hidden(self, text: str) -> str:
        for value in sorted(self.given.values.values(), key=len, reverse=True):
            text = text.replace(value, "***") if len(value) >= _LEAST_SHOWN else text
        return text


def checks(project: Project, agent: Agent, wanted: Wanted) -> list[Check]:
    """Return the checks of an agent's secrets, and of what its kind asks elsewhere."""
    secrets = _Secrets(project, agent, wanted)
    complete = Check("secrets", secrets.look, agent=agent.name)
    if not agent.secret_names:
        return [replace(secrets.hidden_in(it), agent=agent.name) for it in checks_of(agent, secrets.one)]
    own = (replace(it, after=(complete,), agent=agent.name) for it in checks_of(agent, secrets.one))
    return [complete, *map(secrets.hidden_in, own)]


def judge_given(agent: str, given: Given, file: str) -> Outcome:
    """Whether all secrets have a value.

    Args:
        agent: Name of the agent.
        given: What is at hand.
        file: The file that they were read from; empty if it was the environment.
    """
    if given.missing:
        are = "has" if len(given.missing) == 1 else "have"
        meant = "".join(f"; {name} is there: did you mean {it}?" for name, it in given.misspelt.items())
        where = (
            f"write it into {file}" if file else f"name the file with them in root.env, as {secrets_variable(agent)}=…"
        )
        return failed(f"{', '.join(given.missing)} {are} no value{meant}", where)
    return ok(", ".join(given.values))
