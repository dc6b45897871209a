"""``agents up``."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from pve_agents.findings import Finding
from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AGENTS, AUTO_APPROVE
from pve_agents.operator.deployment import planned
from pve_agents.operator.doctor import examine
from pve_agents.operator.output import Output, lasted
from pve_agents.operator.project import Project, open_project
from pve_agents.operator.rollout import deploy, reachable, refuse_what_is_lost
from pve_agents.operator.stopped import DONE, FAILED, REFUSED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.verification import verify_all
from pve_agents.settings import Agent


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
    began = time.monotonic()
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        agents = project.chosen(names)
        project.chosen(allow_replace)
        if not no_doctor:
            _ask_the_doctor(project, agents, out)
        all_planned = planned(project, out, agents, synthesis)
    deployments, foundation = all_planned.agents, all_planned.foundation
    out.digest(all_planned.digest())
    for it in deployments:
        out.digest(it.by_api())
        out.digest(it.by_shell())
    refuse_what_is_lost(deployments, allow_replace)
    if refusals := [f"{it.agent.name}: {reason}" for it in deployments for reason in it.refusals]:
        raise Stopped(*refusals, status=REFUSED)
    wanted = [it for it in deployments if not it.is_nothing]
    pets = foundation if foundation and foundation.found.is_change else None
    if not wanted and not pets:
        out.line(f"nothing to do: `{' '.join(['agents verify', *names])}` asks whether all is well")
        return DONE
    approve("Do it?", auto_approve=auto_approve)
    out.line()
    if pets:
        apply(pets.stack, out, "deployed")
    for deployment in wanted:
        deploy(deployment, out)
    running = [it.agent for it in wanted if it.agent.started]
    status = DONE if no_verify or not running else verify_all(running, project)
    if status == DONE:
        for line in (it for deployment in wanted for it in reachable(deployment)):
            out.line(line)
    out.line(f"{'done' if status == DONE else 'deployed, but not well'} in {lasted(time.monotonic() - began)}")
    return status


def _ask_the_doctor(project: Project, agents: Sequence[Agent], out: Output) -> None:
    """Print what is amiss, and nothing of what is well.

    Raises:
        Stopped: Something is, and nothing was changed.
    """

    def report(finding: Finding) -> None:
        if finding.status in ("failed", "warning"):
            out.check(finding.status, finding.name, finding.detail, finding.seconds, finding.remedy)

    findings = examine(project, agents, report)
    if any(it.status == "failed" for it in findings):
        raise Stopped("nothing was changed; `agents doctor` shows all that was looked at", status=FAILED)
