"""From the settings to agents that answer: what ``agents up`` does while, and after, the stacks are written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from pve_agents.findings import Finding
from pve_agents.operator.approval import approve
from pve_agents.operator.deployment import planned
from pve_agents.operator.doctor import examine
from pve_agents.operator.output import Output, lasted
from pve_agents.operator.project import Project
from pve_agents.operator.rollout import deploy, reachable, refuse_what_is_lost
from pve_agents.operator.stopped import DONE, FAILED, REFUSED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.verification import verify_all
from pve_agents.settings import Agent

__all__ = ["Choices", "bring_up"]


@dataclass(frozen=True)
class Choices:
    """What whoever called it has chosen."""

    names: Sequence[str]
    """The agents; all of them where none is named."""
    _: KW_ONLY
    auto_approve: bool
    """Whether nobody is asked."""
    allow_replace: Sequence[str]
    """The agents whose containers may be destroyed or made anew."""
    doctor: bool
    """Whether to look first at all that it needs."""
    verify: bool
    """Whether to check in the end that they are well."""


def bring_up(project: Project, out: Output, synthesis: Synthesis, choices: Choices) -> int:
    """Show what would happen, ask once, do it, verify; return the exit status.

    Raises:
        Stopped: Something is amiss, or is refused, or failed.
    """
    began = time.monotonic()
    agents = project.chosen(choices.names)
    project.chosen(choices.allow_replace)
    if choices.doctor:
        _ask_the_doctor(project, agents, out)
    all_planned = planned(project, out, agents, synthesis)
    deployments, foundation = all_planned.agents, all_planned.foundation
    out.digest(all_planned.digest())
    for it in deployments:
        out.digest(it.by_api())
        out.digest(it.by_shell())
    refuse_what_is_lost(deployments, choices.allow_replace)
    if refusals := all_planned.refusals:
        raise Stopped(*refusals, status=REFUSED)
    wanted = [it for it in deployments if not it.is_nothing]
    pets = foundation if foundation and foundation.is_change else None
    if not wanted and not pets:
        out.line(f"nothing to do: `{' '.join(['agents verify', *choices.names])}` asks whether all is well")
        return DONE
    approve("Do it?", auto_approve=choices.auto_approve)
    out.line()
    if pets:
        pets.deploy(out)
    for deployment in wanted:
        deploy(deployment, out)
    running = [it.agent for it in wanted if it.agent.started]
    status = verify_all(running, project) if choices.verify and running else DONE
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
