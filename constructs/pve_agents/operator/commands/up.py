"""``agents up``."""

from __future__ import annotations

import click

from pve_agents.operator.arguments import AGENTS, AUTO_APPROVE
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.synth import Synthesis


@click.command
@AGENTS
@AUTO_APPROVE
@click.option(
    "--allow-replace", metavar="AGENT", multiple=True, help="let the container of this agent be destroyed or made anew"
)
@click.option("--no-doctor", is_flag=True, help="leave out the look at all that it needs")
@click.option("--no-verify", is_flag=True, help="leave out the checks at the end")
def command(
    names: tuple[str, ...],
    *,
    auto_approve: bool,
    allow_replace: tuple[str, ...],
    no_doctor: bool,
    no_verify: bool,
) -> int:
    """Deploy: look at all that it needs, show what would happen, ask once, do it, verify.

    Exit status: 0 all is well, 1 something failed, 2 wrong settings, 3 refused, 4 the node was not reached.
    """
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        # While the stacks are being written.
        from pve_agents.operator.bring_up import Choices, bring_up  # noqa: PLC0415

        choices = Choices(
            names, auto_approve=auto_approve, allow_replace=allow_replace, doctor=not no_doctor, verify=not no_verify
        )
        return bring_up(project, out, synthesis, choices)
