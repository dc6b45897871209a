"""``agents plan``."""

from __future__ import annotations

from collections.abc import Callable

import click

from pve_agents.host.commands import Plan
from pve_agents.host.step import AS_WANTED, WOULD_CHANGE, show
from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.chosen_steps import ONLY, only
from pve_agents.operator.deployment import planned
from pve_agents.operator.look import each
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.stopped import REFUSED
from pve_agents.operator.synth import Synthesis


@click.command
@AGENTS
@click.option("--root", is_flag=True, help="only what would run as root on the node")
@ONLY
def command(names: tuple[str, ...], steps: tuple[str, ...], *, root: bool) -> int:
    """Show what `up` would do, and why; do nothing.

    Exit status: 0 planned, 2 wrong settings, 3 something is refused, 4 the node was not reached.
    """
    project, out = open_project(), Output()
    if root or steps:
        return each(project.chosen(names), project, lambda look: _show(look.plan.of(*only(steps)), look.say))
    with Synthesis(project) as synthesis:
        found = planned(project, out, project.chosen(names), synthesis)
    out.digest(found.digest())
    status = REFUSED if found.refusals else AS_WANTED
    for it in found.agents:
        out.digest(it.by_api())
        out.line(f"{it.agent.name}, as root {it.where}:")
        status = max(status, _show(it.as_root, lambda line: out.line(f"    {line}")))
    return status


def _show(plan: Plan, say: Callable[[str], None]) -> int:
    """Show root's commands; that there are any is what a plan is for."""
    status = show(plan, say)
    return AS_WANTED if status == WOULD_CHANGE else status
