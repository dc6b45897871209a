"""``agents drift``."""

from __future__ import annotations

import click

from pve_agents.host.step import show, summary
from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.chosen_steps import ONLY, only
from pve_agents.operator.look import Look, each
from pve_agents.operator.project import open_project


@click.command
@AGENTS
@ONLY
def command(names: tuple[str, ...], steps: tuple[str, ...]) -> int:
    """Look at the node as root; say what is not as the settings want it.

    It changes nothing. Exit status: 0 as wanted, 1 something differs, 2 wrong settings, 3 it could not be mended, 4 not reached.
    """
    project = open_project()

    def report(look: Look) -> int:
        found = look.plan.of(*only(steps))
        status = show(found, look.say)
        look.say(summary(found))
        return status

    return each(project.chosen(names), project, report)
