"""``agents secrets``."""

from __future__ import annotations

import click

from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.look import each
from pve_agents.operator.project import open_project


@click.command
@AGENTS
def command(names: tuple[str, ...]) -> int:
    """Deliver the agents' secrets again, and restart what uses a changed one."""
    project = open_project()
    return each(project.chosen(names), project, lambda look: look.mend("payload", "bootstrap"))
