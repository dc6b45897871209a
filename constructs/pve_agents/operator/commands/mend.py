"""``agents mend``."""

from __future__ import annotations

import click

from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.chosen_steps import ONLY
from pve_agents.operator.look import each
from pve_agents.operator.project import open_project


@click.command
@AGENTS
@ONLY
def command(names: tuple[str, ...], steps: tuple[str, ...]) -> int:
    """Run as root what `drift` shows, and the bootstrap in the container.

    Each command is said before it runs. Exit status: 0 as wanted, 2 wrong settings, 3 refused or failed, 4 not reached.
    """
    project = open_project()
    return each(project.chosen(names), project, lambda look: look.mend(*steps))
