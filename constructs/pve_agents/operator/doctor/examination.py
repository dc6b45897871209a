"""All checks of a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pve_agents.agents.app import app_of
from pve_agents.findings import Check, Finding, Outcome, ok, skipped
from pve_agents.host.place import transport_of
from pve_agents.host.spec import WrongSettingsError
from pve_agents.operator.doctor.api import checks as checks_of_api
from pve_agents.operator.doctor.machine import checks as checks_of_machine
from pve_agents.operator.doctor.root import checks as checks_of_root
from pve_agents.operator.doctor.run import run
from pve_agents.operator.doctor.secrets import checks as checks_of_secrets
from pve_agents.operator.project import Project
from pve_agents.operator.stopped import Stopped
from pve_agents.operator.wants import wanted_of
from pve_agents.settings import Agent

__all__ = ["checks_of", "examine"]


def examine(project: Project, agents: Sequence[Agent], report: Callable[[Finding], None]) -> list[Finding]:
    """Look at all that a deploy of these agents needs, and change nothing.

    Args:
        project: The project.
        agents: The agents.
        report: Gets each finding, in their order, as soon as it is there.

    Returns:
        All of them.

    Raises:
        SettingsError: A kind's own checks cannot be used.
    """
    return run(checks_of(project, agents), report)


def checks_of(project: Project, agents: Sequence[Agent]) -> list[Check]:
    """Return the checks, those of one agent behind each other."""
    found = [*checks_of_machine(project), *checks_of_api(project.of_the_token, agents)]
    for agent in agents:
        compose, wanted = app_of(agent).compose, wanted_of(agent)
        found.append(_credentials(project, agent))
        if agent.delivery == "root":
            found += checks_of_root(project, agent, wanted, docker=compose.engine.source if compose else "")
        found += checks_of_secrets(project, agent, wanted)
    common = [it for it in found if not it.agent]
    return common + [it for agent in agents for it in found if it.agent == agent.name]


def _credentials(project: Project, agent: Agent) -> Check:
    """Which credentials the agent's deploy takes."""

    def tell() -> Outcome:
        if agent.delivery == "console":
            return ok("the API token alone: files and secrets go through the container's console")
        try:
            way = transport_of(project.of_root).name
        except (Stopped, WrongSettingsError):
            return skipped("the check `root` says what is wrong with the way there")
        return ok(f"the API token, and root on {agent.node} by {way}")

    return Check("credentials", tell, agent=agent.name)
