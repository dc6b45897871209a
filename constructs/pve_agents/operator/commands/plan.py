"""``agents plan``."""

from __future__ import annotations

import click

from pve_agents.host.step import AS_WANTED, WOULD_CHANGE, show
from pve_agents.operator.arguments import AGENTS, ONLY
from pve_agents.operator.look import Look, each, only
from pve_agents.operator.project import open_project


@click.command
@AGENTS
@click.option("--root", is_flag=True, help="only what would run as root on the node")
@ONLY
def command(names: tuple[str, ...], steps: tuple[str, ...], *, root: bool) -> int:
    """Show what `up` would do, and why; do nothing."""
    project = open_project()

    def print_commands(look: Look) -> int:
        status = show(look.plan.of(*only(steps)), look.say)
        return AS_WANTED if status == WOULD_CHANGE else status

    return each(project.chosen(names), project.of_root, print_commands)
