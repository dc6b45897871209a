"""``agents adopt``."""

from __future__ import annotations

from pathlib import Path

import click

from pve_agents.agents.app import app_of
from pve_agents.host.commands import Plan, written
from pve_agents.host.plan import foreseen
from pve_agents.host.plan_takeover import Before, plan_takeover
from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AUTO_APPROVE
from pve_agents.operator.deployment import Deployment, planned
from pve_agents.operator.old_state import OldState, read_old_state
from pve_agents.operator.output import Output
from pve_agents.operator.project import Project, open_project
from pve_agents.operator.rollout import deploy, reachable, refuse_what_is_lost
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.settings import Agent


@click.command
@click.argument("name", metavar="AGENT")
@click.option(
    "--state", "file", type=click.Path(dir_okay=False, path_type=Path), help="state file of the old repository"
)
@click.option("--container", help="old Docker container in it that makes way (default: as the agent's own is called)")
@click.option("--data", default=None, help="directory in it with the old data (default: /opt/AGENT)")
@AUTO_APPROVE
def command(name: str, *, file: Path | None, container: str | None, data: str | None, auto_approve: bool) -> int:
    """Take over a container that an older repository has made.

    It is imported into this project's state, and taken out of the old one, of which a copy is kept; all else stays there. In the
    container, the old Docker container is stopped and renamed, and its data moved. It ends with a plan of no changes.
    """
    project, out = open_project(), Output()
    (agent,) = project.chosen([name])
    own = project.out.parent / f"terraform.{name}.tfstate"
    old = read_old_state(file, agent, own) if file else None
    if old:
        _show(old, out)
    deployment = _plan(project, agent, out, is_new=True)
    refuse_what_is_lost([deployment], ())
    takeover = _takeover(agent, deployment, container, data)
    out.digest(deployment.by_api())
    out.digest(deployment.by_shell())
    if takeover.commands:
        out.line(f"{name}, as root {deployment.where}, before that:")
        for line in written(takeover.commands):
            out.line(f"    {line}")
    approve("Do it?", auto_approve=auto_approve)
    if deployment.by_token.is_change:
        apply(deployment.token, out, "taken over")
    if old and (copy := old.forget(project.without_credentials)):
        out.line(f"{old.file} holds it no more; {copy.name} is the copy of before")
    _make_way(deployment, takeover)
    # What the old installation was is not what was looked at.
    deployment = _plan(project, agent, out, is_new=False)
    deploy(deployment, out)
    deployment = _plan(project, agent, out, is_new=False)
    out.digest(deployment.by_api())
    out.digest(deployment.by_shell())
    if not deployment.is_nothing:
        raise Stopped(
            f"{name} is taken over, and not yet as the settings want it: run `agents up {name}`", status=FAILED
        )
    for line in reachable(deployment):
        out.line(line)
    if old:
        out.line("take its blocks out of the old repository's files, too: its next plan would make it again")
    return 0


def _show(old: OldState, out: Output) -> None:
    for address in old.addresses:
        out.line(f"  {'taken over' if address in old.taken else 'stays     '}  {address}")


def _plan(project: Project, agent: Agent, out: Output, *, is_new: bool) -> Deployment:
    """Plan; where the container is not in our state yet, with its import."""
    variable = f"HOMELAB_AGENTS__{agent.name.upper().replace('-', '_')}__ADOPT"
    with Synthesis(project, **({variable: "true"} if is_new else {})) as synthesis:
        (deployment,) = planned(project, out, [agent], synthesis).agents
    return deployment


def _takeover(agent: Agent, deployment: Deployment, container: str | None, data: str | None) -> Plan:
    software, look = app_of(agent).software, deployment.look
    if software is None or look.node is None:
        return Plan()
    service = software.services[0]
    before = Before(
        container=container or service.name,
        data=data or f"/opt/{agent.name}",
        new_data=service.data_directory,
        owner=software.owner,
        workspaces=[mount.guest_path for mount in agent.mounts.values() if not mount.read_only],
        stop_seconds=software.stop_seconds,
    )
    return plan_takeover(look.wanted, foreseen(look.wanted, look.facts), before)


def _make_way(deployment: Deployment, takeover: Plan) -> None:
    node = deployment.look.node
    if node is None or not takeover.commands:
        return
    # The config has changed since the look, and this changes none.
    if node.obey(Plan(takeover.commands, guards=takeover.guards)):
        raise Stopped(
            f"stopped at: {node.doing}; run this again when its cause is gone: it goes on from there", status=FAILED
        )
